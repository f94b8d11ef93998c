/** Somebody who follows a log live, comes back behind what he saw whenever the stream breaks, and keeps all of it. */
import { setTimeout as sleep } from "node:timers/promises";
import { MESSAGES } from "../../shared/log.ts";
import { serverEvents } from "../support/sse.ts";
import type { Line, TestStack } from "../support/stack.ts";

/** Milliseconds before he comes back. */
const AGAIN_MS = 100;

export class Viewer {
  readonly seen: Line[] = [];
  readonly #stop = new AbortController();
  /** Settles when he saw the end, or was told to leave. */
  readonly #done: Promise<void>;

  constructor(stack: TestStack, build: string, headers: Record<string, string>) {
    this.#done = this.#follow(stack, build, headers);
  }

  /** Whether he saw the final line. */
  get sawEnd(): boolean {
    const { msg = "", stream = null } = this.seen.at(-1) ?? {};
    // A container may print the same words.
    return stream === null && (msg === MESSAGES.successful || msg.startsWith(MESSAGES.failed("")));
  }

  async leave(): Promise<void> {
    this.#stop.abort();
    await this.#done;
  }

  async #follow(stack: TestStack, build: string, headers: Record<string, string>): Promise<void> {
    const signal = this.#stop.signal;
    let last: string | null = null;
    while (!signal.aborted && !this.sawEnd) {
      try {
        const response = await stack.fetch(`/builds/${build}/logs?follow=1`, {
          headers: {
            ...headers,
            accept: "text/event-stream",
            ...(last === null ? {} : { "last-event-id": last }),
          },
          signal,
        });
        for await (const event of serverEvents(response)) {
          if (event.id === null || event.event !== "message") continue;
          last = event.id;
          this.seen.push(JSON.parse(event.data) as Line);
        }
      } catch {
        // The edge is away: what matters is that nothing is missing when it is back.
      }
      if (!signal.aborted && !this.sawEnd)
        await sleep(AGAIN_MS, undefined, { signal }).catch(() => {});
    }
  }
}
