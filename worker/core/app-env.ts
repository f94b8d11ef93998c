/** A project's variables: sealed where they lie, and never more together than a deploy can take. */
import { ENVIRONMENT_CHARS, environmentChars } from "../../shared/recipes/app.ts";
import type { EnvAnswer } from "./app-contracts.ts";
import type { AppParts } from "./app-ports.ts";
import { forgetIfEmpty, foundProject } from "./app-project.ts";
import type { Variable } from "./app-rows.ts";
import { Turns } from "./app-turns.ts";

export class AppEnv {
  readonly #parts: AppParts;
  /** Two changes at once would each be measured without the other. */
  readonly #turns = new Turns();

  constructor(parts: AppParts) {
    this.#parts = parts;
  }

  /** In the clear. What another secret has sealed is not among them. */
  async values(variables: readonly Variable[]): Promise<Record<string, string>> {
    const { vault } = this.#parts.ports;
    const pairs = await Promise.all(
      variables.map(async ({ name, sealed }) => [name, await vault.unseal(sealed)] as const),
    );
    return present(Object.fromEntries(pairs));
  }

  set(project: string, changes: Record<string, string | null>): Promise<EnvAnswer> {
    return this.#turns.take(() => this.#set(project, changes));
  }

  async #set(project: string, changes: Record<string, string | null>): Promise<EnvAnswer> {
    const { rows, ports } = this.#parts;
    const chars = environmentChars(present({ ...(await this.values(rows.env())), ...changes }));
    if (chars > ENVIRONMENT_CHARS) return { kind: "refused", code: "too_large", chars };
    const sealed = await Promise.all(
      Object.entries(changes).map(async ([name, value]) => ({
        name,
        sealed: value === null ? null : await ports.vault.seal(value),
      })),
    );
    rows.prepare();
    rows.transaction(() => {
      foundProject(this.#parts, project);
      for (const { name, sealed: value } of sealed) rows.setEnv(name, value);
      forgetIfEmpty(this.#parts);
    });
    return { kind: "ok", env: rows.env().map(({ name }) => name) };
  }
}

function present(all: Record<string, string | null>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(all).filter((pair): pair is [string, string] => pair[1] !== null),
  );
}
