/** What the agent's attempt runner and a recipe know of each other. */
import type { EndClass } from "../../shared/builds.ts";
import type { AgentEntry } from "../../shared/log.ts";
import type { Learnt } from "../../shared/protocol.ts";
import type { Target } from "../../shared/recipes/index.ts";
import type {
  Chunk,
  DockerHost,
  Exit,
  Limits,
  Owner,
  RunHandle,
  RunSpec,
} from "../docker/contracts.ts";

/** A file that the recipe made, on the agent's disk, ready for upload. */
export type Made = {
  name: string;
  /** Path on the agent's disk; below the attempt's folder, removed with it. */
  file: string;
  size: number;
  sha256: string;
  content_type: string;
};

/** The end of a recipe other than well: a class, and a sentence that says what to do next. */
export class RecipeFailure extends Error {
  readonly class: EndClass;
  constructor(endClass: EndClass, reason: string) {
    super(reason);
    this.name = "RecipeFailure";
    this.class = endClass;
  }
}

export interface RecipeContext<T extends Target = Target> {
  readonly owner: Owner;
  readonly target: T;
  readonly docker: DockerHost;
  readonly limits: Limits;
  /** Folder on the agent's disk that is this attempt's alone. */
  readonly folder: string;
  /** Milliseconds left of the attempt's deadline. */
  remaining(): number;
  /** Authorization header values to try in turn; empty for a public source. */
  readonly credentials: readonly string[];
  /** Aborts on cancel, deadline or a lost lease. */
  readonly signal: AbortSignal;
  /**
   * Appends one of our own entries; resolves when it may go on (backpressure). After a restart, a message
   * that the log already holds is not said again. The runner itself says `started` and `saving`.
   */
  say(
    msg: string,
    extra?: { level?: AgentEntry["level"]; fields?: NonNullable<AgentEntry["fields"]> },
  ): Promise<void>;
  /** What the log, tails and the reason show in place of each of these words, from now on. */
  rename(names: ReadonlyMap<string, string>): void;
  /**
   * Journals the phase, then creates, starts (or adopts, when the agent was restarted in it) the container,
   * spools its output as entries and settles with its end. Throws RecipeFailure for kills and out of memory.
   * A phase with `stdin` is never adopted: its container is removed and the phase runs again (rule 12), so the
   * recipe brings its volume back to the start before it calls. `tail`: the last lines, redacted.
   */
  run(
    spec: Omit<RunSpec, "owner" | "deadline_ms">,
  ): Promise<{ exit: Exit; handle: RunHandle; tail: string[] }>;
  /**
   * Spools what no container of ours prints (the engine builds or pushes) as lines, and ends with it.
   * @returns the last lines, redacted
   */
  follow(chunks: AsyncIterable<Chunk>): Promise<string[]>;
  /** Brings the context that the build was posted with to `file`; goes on where an earlier try was cut. */
  fetchContext(file: string, size: number): Promise<void>;
  /** Settles when the Build lets this attempt change what others see (protocol rule 7). */
  permit(): Promise<void>;
  /** From here on the attempt only waits for other attempts: it takes no slot of its agent's any more. */
  yieldSlot(): void;
  /** Notes what was found out; a later value of a member counts. Journaled, and sent with the result however it ends. */
  learn(learnt: Learnt): Promise<void>;
  /** Journals the phase and its result; answers a predecessor's result when it had already finished it. */
  phase<R extends JsonValue>(name: string, body: () => Promise<R>): Promise<R>;
}

export type JsonValue =
  | string
  | number
  | boolean
  | null
  | JsonValue[]
  | { [key: string]: JsonValue };

/** What an attempt that went well leaves. */
export type Outcome = {
  made: Made[];
  /** Repositories of which a credential was used (protocol rule 17). */
  repositories: string[];
  /** `sha256:…` of what was pushed to a registry. */
  digest?: string;
};

export interface Recipe<T extends Target = Target> {
  readonly name: T["recipe"];
  /** Images it needs on the host, for `hello.unwell` and `agent doctor`. */
  images(): string[];
  /** Why this agent's own policy refuses the target (DESIGN.md rule 7); null when it does not. */
  refuses(target: T): string | null;
  /** Labels of an agent that serves it, beside the operator's own. */
  labels?(): Record<string, string>;
  make(context: RecipeContext<T>): Promise<Outcome>;
  /**
   * Housekeeping that makes later builds faster or keeps caches small. The agent calls it when no attempt
   * runs and aborts `signal` as soon as one arrives. Never throws for what a later call can do again.
   */
  idle?(context: IdleContext): Promise<void>;
}

export type IdleContext = {
  /** An owner that no attempt has; the reaper spares it while `idle` runs. */
  owner: Owner;
  docker: DockerHost;
  limits: Limits;
  signal: AbortSignal;
};
