/** Whether a new version of an app is well: by its image's HEALTHCHECK, by a path, or by its port. */
import { request } from "node:http";
import { connect } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import type { AppFacts, Candidate } from "./contracts.ts";

/** Milliseconds between two looks. */
const LOOK_MS = 250;
/** Milliseconds for one answer. */
const ANSWER_MS = 5_000;
/** Milliseconds that an app whose port alone tells must stay up: one that cannot work often ends at once. */
const STEADY_MS = 1_000;
/** Characters of a HEALTHCHECK's output that are told. */
const OUTPUT_CHARS = 500;

/** It is not well, and will not be waited for. */
export class Unwell extends Error {
  /** How it ended, when it did. */
  readonly ended: Pick<AppFacts, "exit_code" | "oom"> | null;
  constructor(seen: string, ended: Unwell["ended"]) {
    super(seen);
    this.name = "Unwell";
    this.ended = ended;
  }
}

/** Null when it is well, else what was seen: half a sentence. */
type Verdict = string | null;

/**
 * Settles when the candidate is well.
 * @param look null when its container is gone
 * @throws Unwell when it ended, or is not well within its time
 */
export async function untilHealthy(
  { port, health: { path, seconds } }: Pick<Candidate, "port" | "health">,
  look: () => Promise<AppFacts | null>,
  signal: AbortSignal,
): Promise<void> {
  const deadline = performance.now() + seconds * 1000;
  let since: number | null = null;
  let seen = "nothing was seen of it";
  for (;;) {
    signal.throwIfAborted();
    const facts = await look();
    if (facts === null) throw new Unwell("its container is gone", { exit_code: null, oom: false });
    if (!facts.running || facts.address === null) throw new Unwell("it ended", facts);
    const verdict = await judge(facts, facts.address, port, path);
    const now = performance.now();
    if (verdict === null) {
      since ??= now;
      const told = facts.health !== null || path !== null;
      if (told || now - since >= STEADY_MS) return;
    } else {
      since = null;
      seen = verdict;
    }
    if (now >= deadline) throw new Unwell(seen, null);
    await delay(LOOK_MS, undefined, { signal });
  }
}

async function judge(
  { health }: AppFacts,
  address: string,
  port: number,
  path: string | null,
): Promise<Verdict> {
  if (health !== null) {
    if (health.status === "healthy") return null;
    if (health.output !== "") return `its HEALTHCHECK said: ${health.output.slice(-OUTPUT_CHARS)}`;
    return health.status === "unhealthy"
      ? "its HEALTHCHECK failed, and said nothing"
      : "its HEALTHCHECK has not said that it is well";
  }
  return path === null ? accepts(address, port) : answers(address, port, path);
}

function accepts(host: string, port: number): Promise<Verdict> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: ANSWER_MS });
    const end = (verdict: Verdict) => {
      socket.destroy();
      resolve(verdict);
    };
    socket.once("connect", () => end(null));
    socket.once("timeout", () => end(`port ${port} does not answer`));
    socket.once("error", () => end(`nothing listens on port ${port}`));
  });
}

function answers(host: string, port: number, path: string): Promise<Verdict> {
  return new Promise((resolve) => {
    const asking = request({ host, port, path, agent: false, timeout: ANSWER_MS }, (response) => {
      const { statusCode = 0, statusMessage = "" } = response;
      response.destroy();
      const status = `${statusCode} ${statusMessage}`.trim();
      resolve(statusCode < 400 ? null : `GET ${path} answers ${status}`);
    });
    asking.once("timeout", () => {
      resolve(`GET ${path} has no answer in ${ANSWER_MS / 1000} s`);
      asking.destroy();
    });
    asking.once("error", (error: NodeJS.ErrnoException) =>
      resolve(
        error.code === "ECONNREFUSED"
          ? `nothing listens on port ${port}`
          : `GET ${path}: ${error.message}`,
      ),
    );
    asking.end();
  });
}
