/** A queue of output between the engine's pace and the consumer's, with a mark at which the engine must wait. */
import type { Chunk } from "./contracts.ts";

/** Bytes at which the queue is full. */
export const FLOW_HIGH_BYTES = 1024 ** 2;
/** Bytes at which a full queue takes more. */
const FLOW_LOW_BYTES = 256 * 1024;
/** Bytes that a chunk weighs beside its data, so that a million chunks of one byte are not for free. */
const CHUNK_OVERHEAD_BYTES = 128;

export class Flow {
  readonly #queue: Chunk[] = [];
  readonly #onAbandon: () => void;
  #bytes = 0;
  #full = false;
  #closed = false;
  #error: unknown = null;
  #wakeReader: () => void = () => {};
  #wakeWriters: (() => void)[] = [];

  /** @param onAbandon called when the reader stops reading, at the end or before it */
  constructor(onAbandon: () => void) {
    this.#onAbandon = onAbandon;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get full(): boolean {
    return this.#full;
  }

  push(chunk: Chunk): void {
    this.#queue.push(chunk);
    this.#bytes += weight(chunk);
    if (this.#bytes >= FLOW_HIGH_BYTES) this.#full = true;
    this.#wakeReader();
  }

  /** No more will come; `error` is thrown to the reader after what is queued. */
  close(error: unknown = null): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#error = error;
    this.#wakeReader();
  }

  /** Wakes who waits for room, although there is none. */
  force(): void {
    for (const wake of this.#wakeWriters.splice(0)) wake();
  }

  /** Resolves when the queue takes more, at once when it does. */
  drained(): Promise<void> {
    if (!this.#full) return Promise.resolve();
    return new Promise((resolve) => {
      this.#wakeWriters.push(resolve);
    });
  }

  /** The one reader's iteration. */
  async *read(): AsyncGenerator<Chunk, void, undefined> {
    try {
      for (;;) {
        const chunk = this.#queue.shift();
        if (chunk !== undefined) {
          this.#bytes -= weight(chunk);
          if (this.#full && this.#bytes <= FLOW_LOW_BYTES) this.#release();
          yield chunk;
        } else if (!this.#closed) {
          await new Promise<void>((resolve) => {
            this.#wakeReader = resolve;
          });
        } else if (this.#error !== null) {
          throw this.#error;
        } else {
          return;
        }
      }
    } finally {
      this.#queue.length = 0;
      this.#bytes = 0;
      this.#release();
      this.#onAbandon();
    }
  }

  #release(): void {
    this.#full = false;
    this.force();
  }
}

function weight(chunk: Chunk): number {
  return chunk.data.length + CHUNK_OVERHEAD_BYTES;
}
