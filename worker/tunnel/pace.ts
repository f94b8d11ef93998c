/** Bytes a second that a reader is trusted to read when nothing can be known of it. */
const BYTES_PER_SECOND = 4 * 1024 * 1024;
/** Bytes at once that are not held back. */
const BURST_BYTES = 1024 * 1024;

/**
 * How fast a WebSocket's other end is sent to: the platform takes each message at once, keeps it until it is read, and
 * tells nobody when that is.
 */
export class Pace {
  /** Milliseconds since the epoch until which a reader of that speed is busy with what it was sent. */
  #busyUntil = 0;

  /** Settles when more may follow `bytes` that were sent. */
  async sent(bytes: number): Promise<void> {
    const now = Date.now();
    this.#busyUntil = Math.max(now, this.#busyUntil) + (bytes / BYTES_PER_SECOND) * 1_000;
    const early = this.#busyUntil - now - (BURST_BYTES / BYTES_PER_SECOND) * 1_000;
    if (early > 0) await new Promise((resolve) => setTimeout(resolve, early));
  }
}
