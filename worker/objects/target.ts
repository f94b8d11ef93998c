import { DurableObject } from "cloudflare:workers";
import { artifactStore } from "../artifacts.ts";
import type { BuildRequest, BuildSummary, TargetAnswer, TargetRpc } from "../core/contracts.ts";
import { publishedBuild } from "../core/manifest.ts";
import { TargetCore } from "../core/target.ts";
import { portsOf } from "./platform.ts";

/** One object a target, named by its key: knows the current build of it. The decisions are in core/target.ts. */
export class Target extends DurableObject<Env> implements TargetRpc {
  readonly #core: TargetCore;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    const { sql, random } = portsOf(ctx);
    this.#core = new TargetCore({
      sql,
      random,
      build: (id) => env.BUILDS.getByName(id),
      published: (key) => publishedBuild(artifactStore(env.ARTIFACTS), key),
    });
  }

  async request(request: BuildRequest): Promise<TargetAnswer> {
    return this.#core.request(request);
  }

  async current(): Promise<BuildSummary | null> {
    return this.#core.current();
  }
}
