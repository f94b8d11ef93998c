/** Which sources a package needs besides its own, each once, and in which order they are compiled. Pure. */
import { RecipeFailure } from "./contracts.ts";
import { isSame, versionOf, type Want } from "./erlang-wants.ts";

/** Dependencies of one package, theirs included. */
export const DEPENDENCIES = 128;

export type Fetchable = Exclude<Want, { kind: "open" }>;

/**
 * Breadth first, as rebar3 and coon look for them: what is nearest to the package decides, and who comes later takes
 * what is there.
 */
export class Dependencies {
  readonly #chosen = new Map<string, Fetchable>();
  /** What is wanted, but not said well enough, by whom. */
  readonly #open = new Map<string, { by: string; why: string }>();
  /** Applications that each one needs. */
  readonly #needs = new Map<string, string[]>();
  readonly #root: string[] = [];
  #pending: Fetchable[] = [];
  readonly #warnings: string[] = [];

  /** `by`: the application that wants them, null for the package itself. */
  add(by: string | null, wants: readonly Want[]): void {
    const apps = wants.map(({ app }) => app);
    if (by === null) this.#root.push(...apps);
    else this.#needs.set(by, apps);
    for (const want of wants) this.#want(want, by ?? "the package");
  }

  #want(want: Want, by: string): void {
    const chosen = this.#chosen.get(want.app);
    if (want.kind === "open") {
      if (chosen === undefined && !this.#open.has(want.app))
        this.#open.set(want.app, { by, why: want.why });
      return;
    }
    if (chosen === undefined) {
      this.#chosen.set(want.app, want);
      this.#pending.push(want);
      if (this.#chosen.size > DEPENDENCIES)
        throw failure(`The package needs more than ${DEPENDENCIES} dependencies.`);
    } else if (!isSame(chosen, want))
      this.#warnings.push(
        `${by} wants ${want.app} ${versionOf(want)}, but ${versionOf(chosen)} is taken: it is nearer to the package.`,
      );
  }

  /** Those that are to be fetched next, each once. */
  next(): Fetchable[] {
    const next = this.#pending;
    this.#pending = [];
    return next;
  }

  /** What users should know, each once. */
  warnings(): string[] {
    return this.#warnings.splice(0);
  }

  /**
   * All of them, each after what it needs.
   * @throws RecipeFailure dependency_error when one is nowhere, or needs itself
   */
  inOrder(): Fetchable[] {
    for (const [app, { by, why }] of this.#open)
      if (!this.#chosen.has(app)) throw failure(`${app}, wanted by ${by}, ${why}.`);
    const done = new Map<string, Fetchable>();
    const visit = (app: string, above: readonly string[]) => {
      const want = this.#chosen.get(app);
      if (want === undefined || done.has(app)) return;
      if (above.includes(app))
        throw failure(
          `Dependencies need each other: ${[...above.slice(above.indexOf(app)), app].join(" → ")}.`,
        );
      for (const needed of this.#needs.get(app) ?? []) visit(needed, [...above, app]);
      done.set(app, want);
    };
    for (const app of this.#root) visit(app, []);
    return [...done.values()];
  }
}

function failure(reason: string): RecipeFailure {
  return new RecipeFailure("dependency_error", reason);
}
