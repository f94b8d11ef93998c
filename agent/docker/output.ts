/**
 * A container's output, every byte once: attached while it can be, and from what the engine kept when the connection
 * broke or the container is an adopted one.
 *
 * A consumer that does not take it makes the container wait. Attached, the engine's own buffers do that, but not at
 * its end: then the engine waits two seconds for its reader, drops what is left, and may keep the container locked for
 * as long as the connection is there and not read. So a container whose reader stalls is paused (it cannot end then),
 * and one that is ending or being killed is read at once.
 */
import type { Duplex, Readable } from "node:stream";
import type { Chunk } from "./contracts.ts";
import { Demux, type Piece } from "./demux.ts";
import type { Engine } from "./engine.ts";
import { isKind } from "./errors.ts";
import { FLOW_HIGH_BYTES, Flow } from "./flow.ts";
import { Kept } from "./kept.ts";
import { atMost, sleep, within } from "./time.ts";

/** Milliseconds that a full queue is waited for before the container is paused. */
const STALL_MS = 250;
/** Milliseconds in which a container that is not about to end can be paused. */
const PAUSE_MS = 500;
/** Bytes that are queued of a container that is ending: more than the engine's buffers hold. */
const ENDING_BYTES = FLOW_HIGH_BYTES + 4 * 1024 ** 2;
/** Milliseconds between the end of the output and the end of its container, when the connection is whole. */
const SETTLE_MS = 1_000;
/** Milliseconds between two attempts at an engine that does not answer. */
const RETRY_MS = 500;

/** What the output must know of the container's life. */
export interface Life {
  /** Settles when the container has ended; never rejects. */
  readonly ended: Promise<void>;
  /** The engine that served this attachment saw the end: so what it sent is all. */
  readonly witnessed: boolean;
  /** True once it has ended; asks the engine, throws `gone`. */
  isOver(): Promise<boolean>;
}

type Restore = (piece: Piece) => Buffer;

export class Output {
  readonly #engine: Engine;
  readonly #id: string;
  readonly #life: Life;
  readonly #flow: Flow;
  readonly #delivered = { stdout: 0, stderr: 0 };
  #attached: Duplex | null = null;
  #source: Readable | null = null;
  #abandoned = false;
  #pumping = false;
  /** Never made to wait any more: it is being killed. */
  #freed = false;
  #paused = false;
  #ending = false;
  /** The engine did not answer since the output was last read. */
  #away = false;

  constructor(engine: Engine, id: string, life: Life) {
    this.#engine = engine;
    this.#id = id;
    this.#life = life;
    this.#flow = new Flow(() => this.detach());
  }

  /** Attaches to a container that has not started; `stdin` is written and closed. */
  async attach(stdin: string | null): Promise<void> {
    const stream = await this.#engine.attach(this.#id, stdin !== null);
    // A container may end without reading its input.
    stream.on("error", () => {});
    if (stdin !== null) stream.end(stdin);
    this.#attached = stream;
  }

  /** Begins to take the output, whether or not somebody reads it. */
  begin(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    this.#pump().then(
      () => this.#flow.close(),
      (error: unknown) => this.#flow.close(error),
    );
  }

  /** The one iteration over all of the output. */
  read(): AsyncIterable<Chunk> {
    this.begin();
    return this.#flow.read();
  }

  /** Whether the engine still has the output from its first byte on. */
  async complete(): Promise<boolean> {
    if (this.#attached !== null) return true;
    const kept = new Kept();
    const demux = new Demux();
    const source = await this.#engine.logs(this.#id, { follow: false });
    for await (const bytes of source) for (const piece of demux.feed(bytes)) kept.restore(piece);
    return !kept.mayBeCut;
  }

  /** Lets the container go on to its end, which is near: what it writes beyond a bound is dropped from now on. */
  async free(): Promise<void> {
    this.#freed = true;
    this.#flow.force();
    await this.#unpause();
  }

  /** Lets go of the connection; the container does not notice. */
  detach(): void {
    this.#abandoned = true;
    this.#attached?.destroy();
    this.#source?.destroy();
    this.#unpause();
  }

  async #pump(): Promise<void> {
    if (this.#attached !== null) {
      await this.#drain(this.#attached, (piece) => piece.data);
      // An engine that has just died does not answer: what it had read and not yet passed on is lost.
      if ((await this.#isOver()) === null) this.#away = true;
      if ((await within(this.#life.ended, SETTLE_MS)) && this.#life.witnessed) return;
    }
    while (!this.#abandoned) {
      const over = await this.#isOver();
      if (over === null) {
        this.#away = true;
        await sleep(RETRY_MS);
        continue;
      }
      const whole = await this.#follow();
      // What it wrote between the last read and its end is read once more.
      if (over && whole) return;
      if (!whole) await sleep(RETRY_MS);
    }
  }

  /** Null while the engine cannot say. */
  async #isOver(): Promise<boolean | null> {
    try {
      return await this.#life.isOver();
    } catch (error) {
      if (isKind(error, "unavailable", "timeout")) return null;
      throw error;
    }
  }

  /** Reads what was kept, from the beginning, behind what was delivered. @returns false when it was cut off */
  async #follow(): Promise<boolean> {
    const kept = new Kept();
    const skip = { ...this.#delivered };
    try {
      this.#source = await this.#engine.logs(this.#id, { follow: true });
    } catch (error) {
      if (!isKind(error, "unavailable", "timeout")) throw error;
      this.#away = true;
      return false;
    }
    if (this.#away) this.#flow.push({ stream: "stdout", data: Buffer.alloc(0), behindGap: true });
    this.#away = false;
    return this.#drain(this.#source, (piece) => {
      const data = kept.restore(piece);
      const known = Math.min(skip[piece.stream], data.length);
      skip[piece.stream] -= known;
      return data.subarray(known);
    });
  }

  /** @returns false when the connection broke before its end */
  async #drain(source: Readable, restore: Restore): Promise<boolean> {
    const demux = new Demux();
    const bytes: AsyncIterator<Buffer> = source[Symbol.asyncIterator]();
    while (!this.#abandoned) {
      const next = await bytes.next().catch(() => null);
      if (next === null) return false;
      if (next.done) return true;
      this.#deliver(demux.feed(next.value), restore);
      await this.#room();
    }
    return true;
  }

  /** Hands on pieces, those side by side in one stream as one chunk. */
  #deliver(pieces: Piece[], restore: Restore): void {
    let stream: Chunk["stream"] = "stdout";
    let parts: Buffer[] = [];
    const flush = () => {
      const [first] = parts;
      if (first === undefined) return;
      const data = parts.length === 1 ? first : Buffer.concat(parts);
      this.#delivered[stream] += data.length;
      const dropped = this.#freed && this.#flow.bytes >= ENDING_BYTES;
      if (!dropped) this.#flow.push({ stream, data });
      parts = [];
    };
    for (const piece of pieces) {
      const data = restore(piece);
      if (data.length === 0) continue;
      if (piece.stream !== stream) flush();
      stream = piece.stream;
      parts.push(data);
    }
    flush();
  }

  /** Resolves when more may be read. */
  async #room(): Promise<void> {
    if (!this.#flow.full || this.#freed) return;
    if (this.#ending && this.#flow.bytes < ENDING_BYTES) return;
    if (await within(this.#flow.drained(), STALL_MS)) return;
    this.#ending = !(await this.#hold());
    if (this.#ending || this.#freed) return;
    await this.#flow.drained();
    await this.#unpause();
  }

  /** Pauses the container. @returns false when it is ending, so that its output must be read now */
  async #hold(): Promise<boolean> {
    const pausing = this.#engine.pause(this.#id).then(
      () => {
        this.#paused = true;
      },
      () => {},
    );
    if (!(await within(pausing, PAUSE_MS))) {
      pausing.then(() => this.#unpause());
      return false;
    }
    if (this.#freed || this.#abandoned) await this.#unpause();
    if (this.#paused) return true;
    // It cannot be paused: because the engine cannot, or because there is nothing left to pause.
    const over = await atMost(this.#life.isOver(), PAUSE_MS).catch(() => true);
    return over === false;
  }

  async #unpause(): Promise<void> {
    while (this.#paused) {
      try {
        await this.#engine.unpause(this.#id);
        this.#paused = false;
      } catch (error) {
        // Ended, removed, or set going by somebody else; or the engine is away, and nobody else will.
        if (!isKind(error, "unavailable", "timeout")) this.#paused = false;
        else if (await within(this.#life.ended, RETRY_MS)) this.#paused = false;
      }
    }
  }
}
