/** One container of an attempt: journaled, created or adopted, its output in the log, its end told (rules 12 and 13). */
import type {
  DockerHost,
  Exit,
  KillReason,
  Owner,
  RunHandle,
  RunSpec,
} from "./docker/contracts.ts";
import { DockerError } from "./docker/contracts.ts";
import type { Journal } from "./journal.ts";
import type { Output } from "./output.ts";
import { RECENT_LINES } from "./output.ts";
import type { Clock } from "./ports.ts";
import { RecipeFailure } from "./recipes/contracts.ts";
import { showSize } from "./sizes.ts";
import type { Spool } from "./spool.ts";
import { Stop, type StopKind } from "./stop.ts";

/** Milliseconds a container has to end by itself before it is killed. */
const KILL_GRACE_MS = 3_000;
const KILL_REASONS: Record<StopKind, KillReason> = {
  cancelled: "cancel",
  timed_out: "deadline",
  over: "lease",
  abandoned: "lease",
};

export type ContainerParts = {
  docker: DockerHost;
  owner: Owner;
  journal: Journal;
  spool: Spool;
  output: Output;
  /** Aborts with a Stop. */
  signal: AbortSignal;
  /** Settles when this agent may act (rule 10); throws the Stop once it may not. */
  mayAct: () => Promise<void>;
  remaining: () => number;
  clock: Clock;
};

export type Ran = { exit: Exit; handle: RunHandle; tail: string[] };
export type ContainerSpec = Omit<RunSpec, "owner" | "deadline_ms">;

/** @throws RecipeFailure for kills and out of memory, Stop when the attempt stops, DockerError */
export async function runContainer(spec: ContainerSpec, parts: ContainerParts): Promise<Ran> {
  const { journal, docker, owner, signal } = parts;
  const { phase } = spec;
  await parts.mayAct();
  const done = journal.find("run_done", (note) => note.phase === phase);
  if (done) {
    const handle = await docker.adopt(owner, phase);
    const container = journal.find("created", (note) => note.phase === phase)?.id ?? "";
    const tail = parts.spool.recent(container, RECENT_LINES);
    if (!handle) throw vanished(phase);
    return ended({ exit: done.exit, handle, tail }, spec);
  }
  const begun = journal.find("run", (note) => note.phase === phase)?.at ?? parts.clock.now();
  const { handle, adopted } = await prepare(spec, parts);
  const stop = () => void kill(handle, signal);
  signal.addEventListener("abort", stop, { once: true });
  try {
    signal.throwIfAborted();
    if (!journal.find("started", (note) => note.id === handle.id)) {
      await handle.start();
      await journal.write({ t: "started", id: handle.id });
    }
    const complete = !adopted || (await handle.complete());
    const tail = await parts.output.follow(handle.id, handle.output(), signal, complete);
    const exit = await handle.wait();
    if (signal.aborted) throw signal.reason;
    await journal.write({ t: "run_done", phase, ms: parts.clock.now() - begun, exit });
    return ended({ exit, handle, tail }, spec);
  } catch (error) {
    const gone = error instanceof DockerError && error.kind === "gone";
    throw gone && !signal.aborted ? vanished(phase) : error;
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

/** Finds the container that a predecessor of this process left, or makes a new one. */
async function prepare(
  spec: ContainerSpec,
  { journal, docker, owner, remaining, clock }: ContainerParts,
): Promise<{ handle: RunHandle; adopted: boolean }> {
  const { phase } = spec;
  const begun = journal.find("run", (note) => note.phase === phase);
  const found = await docker.adopt(owner, phase);
  if (begun && spec.stdin === null) {
    if (found) {
      await noteCreated(found);
      return { handle: found, adopted: true };
    }
    if (journal.find("created", (note) => note.phase === phase)) throw vanished(phase);
  }
  if (found) {
    await found.kill("lease", 0);
    await found.remove();
  }
  if (!begun) await journal.write({ t: "run", phase, at: clock.now() });
  const handle = await docker.create({ ...spec, owner, deadline_ms: Math.max(1, remaining()) });
  await noteCreated(handle);
  return { handle, adopted: false };

  async function noteCreated({ id }: RunHandle): Promise<void> {
    if (journal.find("created", (note) => note.phase === phase)?.id === id) return;
    await journal.write({ t: "created", phase, id });
  }
}

async function kill(handle: RunHandle, signal: AbortSignal): Promise<void> {
  const kind: StopKind = signal.reason instanceof Stop ? signal.reason.kind : "over";
  // What does not die now is removed by force when the host is cleaned.
  await handle.kill(KILL_REASONS[kind], kind === "cancelled" ? KILL_GRACE_MS : 0).catch(() => {});
}

function vanished(phase: string): Stop {
  return new Stop("abandoned", `the container of phase ${phase} is gone from the host`);
}

/** @throws RecipeFailure when it did not end by itself */
function ended(ran: Ran, { limits }: ContainerSpec): Ran {
  const { exit } = ran;
  if (exit.killed === "deadline")
    throw new RecipeFailure("timed_out", "The build's time was over.");
  if (exit.killed === "disk")
    throw new RecipeFailure(
      "disk_full",
      `The build wrote more than ${showSize(limits.disk_bytes)}, this agent's limit. Make it write less, or ask the agent's owner for more (limits.disk).`,
    );
  if (exit.killed !== null)
    throw new Stop("abandoned", "the container was killed with its attempt");
  // The flag is set when any process in it was killed for memory, even if the build went on and succeeded.
  if (exit.oom && exit.code !== 0)
    throw new RecipeFailure(
      "out_of_memory",
      `The build used more than ${showSize(limits.memory_bytes)} of memory, this agent's limit. Make it use less, or ask the agent's owner for more (limits.memory).`,
    );
  return ran;
}
