/**
 * A project's place in the table of rules. Each call brings it to what the project is now, so that the last one leaves it
 * right, whatever happened during those before: the rule of what serves, or none.
 */
import type { DeployLine } from "./app-line.ts";
import type { AppParts } from "./app-ports.ts";
import { Turns } from "./app-turns.ts";

export class AppRoute {
  readonly #parts: AppParts;
  readonly #line: DeployLine;
  /** A call that is under way would else undo a later one. */
  readonly #turns = new Turns();

  constructor(parts: AppParts, line: DeployLine) {
    this.#parts = parts;
    this.#line = line;
  }

  /** Also decides what goes live. Throws when the table did not answer. */
  bring(name: string): Promise<void> {
    return this.#turns.take(() => this.#bring(name));
  }

  async #bring(name: string): Promise<void> {
    const { rows, ports } = this.#parts;
    for (;;) {
      const project = rows.project();
      if (project === null) return ports.routes().remove(name);
      const current = project.current === null ? null : rows.deployment(project.current);
      const next = this.#line.next();
      // Both until it is decided: what serves is reached, and can keep its rule.
      const rules = [current, next].flatMap((one) => one?.rule ?? []);
      const others = await ports.routes().put(name, rules);
      if (next === null) return;
      this.#line.decide(next, others.find(({ rule }) => rule === next.rule)?.project ?? null);
    }
  }
}
