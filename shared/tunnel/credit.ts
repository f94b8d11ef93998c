/**
 * The memory that all streams of one socket share beyond their first credit. Who asks gets what is left, so that one fast
 * download may fill a long line, and a thousand of them cannot fill an end's memory.
 */
import { MOST_CREDIT, SHARED_CREDIT } from "./limits.ts";

export class CreditShare {
  #left: number;
  readonly #taken = new Map<number, number>();

  /** @param bytes what there is to share */
  constructor(bytes: number = SHARED_CREDIT) {
    this.#left = bytes;
  }

  /** Bytes by which a stream's window of `window` bytes may grow: as much again, while it lasts. */
  grow(stream: number, window: number): number {
    const wanted = Math.min(window, MOST_CREDIT - window);
    return wanted > 0 && this.hold(stream, wanted) ? wanted : 0;
  }

  /** Takes `bytes` for a stream; false when there is not that much left. */
  hold(stream: number, bytes: number): boolean {
    if (bytes > this.#left) return false;
    this.#left -= bytes;
    this.#taken.set(stream, (this.#taken.get(stream) ?? 0) + bytes);
    return true;
  }

  /** Gives `bytes` of a stream back, or all that it has. */
  release(stream: number, bytes?: number): void {
    const taken = this.#taken.get(stream) ?? 0;
    const back = Math.min(bytes ?? taken, taken);
    this.#left += back;
    if (back === taken) this.#taken.delete(stream);
    else this.#taken.set(stream, taken - back);
  }
}
