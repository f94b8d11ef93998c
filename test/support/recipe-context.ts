/** A recipe's context over a real engine, without the agent around it: it only remembers. */
import { copyFile } from "node:fs/promises";
import type { KillReason, Owner } from "../../agent/docker/contracts.ts";
import {
  type JsonValue,
  type RecipeContext,
  RecipeFailure,
} from "../../agent/recipes/contracts.ts";
import { Redactor } from "../../agent/redact.ts";
import type { Learnt } from "../../shared/protocol.ts";
import type { Target } from "../../shared/recipes/index.ts";
import type { DockerWorld } from "./docker.ts";

const MIB = 1024 ** 2;
const DEADLINE_MS = 300_000;
const TAIL_LINES = 60;

export type Said = { msg: string; level: string; stream?: "stdout" | "stderr" };

export type ContextOptions<T extends Target> = {
  docker: DockerWorld;
  owner: Owner;
  target: T;
  /** The attempt's own, on the disk. */
  folder: string;
  credentials?: readonly string[];
  /** File that the build was posted with. */
  posted?: string;
  signal?: AbortSignal;
  permit?: RecipeContext["permit"];
};

/** `log` grows while the recipe works. */
export function recipeContext<T extends Target>({
  docker,
  owner,
  target,
  folder,
  credentials = [],
  posted,
  signal = new AbortController().signal,
  permit = async () => {},
}: ContextOptions<T>): { context: RecipeContext<T>; log: Said[]; learnt: Learnt } {
  const log: Said[] = [];
  const learnt: Learnt = {};
  const shown = new Redactor();
  const follow: RecipeContext["follow"] = async (chunks) => {
    const rest = { stdout: "", stderr: "" };
    const tail: string[] = [];
    for await (const { stream, data } of chunks) {
      const raw = (rest[stream] + data.toString()).split("\n");
      rest[stream] = raw.pop() ?? "";
      const lines = raw.map((line) => shown.text(line));
      for (const msg of lines) log.push({ msg, level: "info", stream });
      tail.push(...lines);
    }
    return tail.slice(-TAIL_LINES);
  };
  const context: RecipeContext<T> = {
    owner,
    target,
    docker: docker.host,
    limits: { cpus: 2, memory_bytes: 1024 * MIB, pids: 256, disk_bytes: 1024 * MIB },
    folder,
    remaining: () => DEADLINE_MS,
    credentials,
    signal,
    say: async (msg, extra = {}) => void log.push({ msg, level: extra.level ?? "info" }),
    rename: (names) => shown.rename(names),
    phase: <R extends JsonValue>(_: string, body: () => Promise<R>) => body(),
    follow,
    fetchContext: async (file) => {
      if (posted === undefined) throw new Error("this build was posted without a context");
      await copyFile(posted, file);
    },
    permit,
    yieldSlot: () => {},
    learn: async (more) => void Object.assign(learnt, more),
    async run(spec) {
      const handle = await docker.host.create({ ...spec, owner, deadline_ms: DEADLINE_MS });
      await handle.start();
      const tail = await follow(handle.output());
      const exit = await handle.wait();
      if (exit.killed !== null) throw killed(exit.killed);
      return { exit, handle, tail };
    },
  };
  return { context, log, learnt };
}

function killed(reason: KillReason): RecipeFailure {
  return new RecipeFailure(reason === "disk" ? "disk_full" : "timed_out", `killed: ${reason}`);
}
