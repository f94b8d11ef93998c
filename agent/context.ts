/** What a recipe sees of its attempt: its own words in the log, containers and phases that a restart does not repeat. */
import type { AgentEntry } from "../shared/log.ts";
import type { Learnt } from "../shared/protocol.ts";
import type { Target } from "../shared/recipes/index.ts";
import { type ContainerParts, type ContainerSpec, type Ran, runContainer } from "./container.ts";
import type { Chunk, Limits } from "./docker/contracts.ts";
import type { JsonValue, RecipeContext } from "./recipes/contracts.ts";
import type { Redactor } from "./redact.ts";

export type ContextParts = ContainerParts & {
  target: Target;
  limits: Limits;
  credentials: readonly string[];
  redactor: Redactor;
  /** Shows the phase to the Build. */
  show: (phase: string) => void;
  fetchContext: RecipeContext["fetchContext"];
  permit: RecipeContext["permit"];
  yieldSlot: RecipeContext["yieldSlot"];
};

export class Context implements RecipeContext {
  readonly owner;
  readonly target: Target;
  readonly docker;
  readonly limits: Limits;
  readonly folder: string;
  readonly credentials: readonly string[];
  readonly signal: AbortSignal;
  readonly #parts: ContextParts;
  /** Own messages that the log held when this process began. */
  readonly #said: readonly string[];
  /** Messages of `#said` before this one were said again by the recipe, or passed over. */
  #replayed = 0;

  constructor(parts: ContextParts) {
    this.owner = parts.owner;
    this.target = parts.target;
    this.docker = parts.docker;
    this.limits = parts.limits;
    this.folder = parts.journal.work;
    this.credentials = parts.credentials;
    this.signal = parts.signal;
    this.#parts = parts;
    this.#said = [...parts.spool.own];
  }

  remaining(): number {
    return this.#parts.remaining();
  }

  async say(
    msg: string,
    {
      level = "info",
      fields,
    }: { level?: AgentEntry["level"]; fields?: NonNullable<AgentEntry["fields"]> } = {},
  ): Promise<void> {
    this.signal.throwIfAborted();
    const text = this.#parts.redactor.text(msg);
    const before = this.#said.indexOf(text, this.#replayed);
    if (before !== -1) {
      this.#replayed = before + 1;
      return;
    }
    const time = this.#parts.clock.date().toISOString();
    this.#parts.spool.append([{ entry: { time, level, msg: text, ...(fields && { fields }) } }]);
    await this.#parts.spool.room(this.signal);
  }

  rename(names: ReadonlyMap<string, string>): void {
    this.#parts.redactor.rename(names);
  }

  async run(spec: ContainerSpec): Promise<Ran> {
    this.#parts.show(spec.phase);
    return runContainer(spec, this.#parts);
  }

  follow(chunks: AsyncIterable<Chunk>): Promise<string[]> {
    const { output, spool } = this.#parts;
    // A name of its own each time: what an earlier try printed is no beginning of this.
    return output.follow(`engine-${spool.last}`, chunks, this.signal);
  }

  fetchContext(file: string, size: number): Promise<void> {
    return this.#parts.fetchContext(file, size);
  }

  yieldSlot(): void {
    this.#parts.yieldSlot();
  }

  permit(): Promise<void> {
    return this.#parts.permit();
  }

  learn(learnt: Learnt): Promise<void> {
    return this.#parts.journal.write({ t: "learnt", ...learnt });
  }

  async phase<R extends JsonValue>(name: string, body: () => Promise<R>): Promise<R> {
    const { journal, mayAct, clock, show } = this.#parts;
    const done = journal.find("phase_done", (note) => note.name === name);
    // Written by the same phase of the same recipe.
    if (done) return done.result as R;
    await mayAct();
    const begun = journal.find("phase", (note) => note.name === name)?.at ?? clock.now();
    await journal.write({ t: "phase", name, at: begun });
    show(name);
    const result = await body();
    await journal.write({ t: "phase_done", name, ms: clock.now() - begun, result });
    return result;
  }
}
