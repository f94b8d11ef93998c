/** The Routes object: a shell over core/routes.ts. */
import { DurableObject } from "cloudflare:workers";
import type { Route, RoutesRpc } from "../core/app-contracts.ts";
import { RoutesCore } from "../core/routes.ts";
import { portsOf } from "./platform.ts";

export class Routes extends DurableObject<Env> implements RoutesRpc {
  readonly #core: RoutesCore;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#core = new RoutesCore(portsOf(ctx).sql);
  }

  async put(project: string, rules: string[]): Promise<Route[]> {
    return this.#core.put(project, rules);
  }

  async holder(rule: string): Promise<string | null> {
    return this.#core.holder(rule);
  }

  async remove(project: string): Promise<void> {
    return this.#core.remove(project);
  }

  async list(): Promise<Route[]> {
    return this.#core.list();
  }

  async projects(): Promise<string[]> {
    return this.#core.projects();
  }
}
