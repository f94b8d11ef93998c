/** Streams of the platform on both ends of a tunnel's stream, with backpressure both ways. */
import { StreamReset, type TunnelStream } from "../../shared/tunnel/index.ts";

type Waiting = { data: Uint8Array; taken: () => void };

/** What comes out of the tunnel, as a stream that is read at its reader's pace. */
export class BodyReader {
  readonly stream: ReadableStream<Uint8Array>;
  readonly #waiting: Waiting[] = [];
  #pull: (() => void) | null = null;
  #controller: ReadableStreamDefaultController<Uint8Array> | null = null;
  #ended = false;
  #failure: Error | null = null;

  /** @param cancelled the reader went away */
  constructor(cancelled: () => void) {
    this.stream = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller;
        },
        pull: () => this.#next(),
        cancel: () => {
          this.#ended = true;
          cancelled();
        },
      },
      { highWaterMark: 0 },
    );
  }

  data(data: Uint8Array, taken: () => void): void {
    this.#waiting.push({ data, taken });
    this.#pull?.();
  }

  end(): void {
    this.#ended = true;
    this.#pull?.();
    if (this.#waiting.length === 0) this.#close();
  }

  /** Fails behind what came before it: the client gets all that the app sent. */
  fail(error: Error): void {
    this.#failure ??= error;
    this.end();
  }

  async #next(): Promise<void> {
    while (this.#waiting.length === 0 && !this.#ended)
      await new Promise<void>((resolve) => {
        this.#pull = resolve;
      });
    this.#pull = null;
    const next = this.#waiting.shift();
    if (next !== undefined) {
      this.#controller?.enqueue(next.data);
      next.taken();
    }
    if (this.#ended && this.#waiting.length === 0) this.#close();
  }

  #close(): void {
    try {
      if (this.#failure === null) this.#controller?.close();
      else this.#controller?.error(this.#failure);
    } catch {
      // Closed or cancelled before.
    }
  }
}

/** Sends a body down the tunnel. Never throws: a stream that was reset says so itself. */
export async function sendBody(
  body: ReadableStream<Uint8Array>,
  stream: TunnelStream,
): Promise<void> {
  try {
    for await (const chunk of body) await stream.write(chunk);
    await stream.end();
  } catch (error) {
    if (error instanceof StreamReset) return;
    stream.reset("cancelled", "the client stopped sending");
  }
}
