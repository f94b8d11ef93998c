/**
 * The engine's framing of stdout and stderr on one connection: 8 bytes of header (stream, three zeros,
 * big-endian length), then the bytes. docker-modem's own demuxer has no back-pressure and recurses once for
 * each frame; this one is a plain state machine that its caller feeds at the caller's own pace.
 */
import { DockerError } from "./contracts.ts";

const HEADER_BYTES = 8;
const STREAMS: Record<number, "stdout" | "stderr"> = { 1: "stdout", 2: "stderr" };

/** A piece of one frame. */
export type Piece = {
  stream: "stdout" | "stderr";
  data: Buffer;
  /** Bytes of the whole frame. */
  size: number;
  /** The frame ends with this piece. */
  last: boolean;
};

export class Demux {
  readonly #header = Buffer.alloc(HEADER_BYTES);
  #filled = 0;
  #stream: "stdout" | "stderr" = "stdout";
  #size = 0;
  #left = 0;

  /**
   * @param chunk the next bytes of the connection, cut anywhere
   * @returns the pieces in it, as views into `chunk`
   * @throws DockerError `invalid` when the bytes are not frames
   */
  feed(chunk: Buffer): Piece[] {
    const pieces: Piece[] = [];
    let at = 0;
    while (at < chunk.length) {
      if (this.#left === 0) {
        at += this.#take(chunk, at);
        if (this.#filled === HEADER_BYTES) this.#open();
        continue;
      }
      const data = chunk.subarray(at, at + this.#left);
      at += data.length;
      this.#left -= data.length;
      pieces.push({ stream: this.#stream, data, size: this.#size, last: this.#left === 0 });
    }
    return pieces;
  }

  #take(chunk: Buffer, at: number): number {
    const count = Math.min(HEADER_BYTES - this.#filled, chunk.length - at);
    chunk.copy(this.#header, this.#filled, at, at + count);
    this.#filled += count;
    return count;
  }

  #open(): void {
    const stream = STREAMS[this.#header.readUInt8(0)];
    if (stream === undefined) {
      throw new DockerError("invalid", "the engine sent output that is not framed");
    }
    this.#stream = stream;
    this.#size = this.#left = this.#header.readUInt32BE(4);
    this.#filled = 0;
  }
}
