/** From what the engine says of a build or a push to lines of a log. */
import type { Chunk } from "./contracts.ts";
import type { Progress } from "./progress.ts";

/** How the classic builder marks what a container wrote to stderr. */
const STDERR_BEGIN = "\u001b[91m";
const STDERR_END = "\u001b[0m";
/** The engine's line for the image of a step. A container can print the like: it is looked at before it is believed. */
const STEP = /^ ---> ([0-9a-f]{12})\n$/;
/** States of a layer that are told once each, without the counting in between. */
const TOLD = new Set(["Preparing", "Pushed", "Layer already exists", "Mounted from"]);

/** Short id of the image that a step made or took; null for any other words. */
export function stepOf(said: string): string | null {
  return STEP.exec(said)?.[1] ?? null;
}

/** What a builder says, by the stream that it came from. */
export function chunksOf(said: string): Chunk[] {
  const [before = "", ...marked] = said.split(STDERR_BEGIN);
  const texts: [Chunk["stream"], string][] = [["stdout", before]];
  for (const part of marked) {
    const [stderr = "", ...rest] = part.split(STDERR_END);
    texts.push(["stderr", stderr], ["stdout", rest.join(STDERR_END)]);
  }
  return texts
    .filter(([, text]) => text !== "")
    .map(([stream, text]) => ({ stream, data: Buffer.from(text) }));
}

/** One line for each change of a layer's state. */
export class PushLines {
  readonly #states = new Map<string, string>();

  /** Null when there is nothing new to say. */
  next({ id, status }: Progress): Chunk | null {
    if (status === undefined) return null;
    if (id === undefined) return line(status);
    const first = status.split(" ").slice(0, 2).join(" ");
    const state = status.startsWith("Retrying") ? "Retrying" : status;
    if (!TOLD.has(state) && !TOLD.has(first) && state !== "Pushing" && state !== "Retrying")
      return null;
    if (this.#states.get(id) === state) return null;
    this.#states.set(id, state);
    return line(`${id}: ${state}`);
  }
}

function line(text: string): Chunk {
  return { stream: "stdout", data: Buffer.from(`${text}\n`) };
}
