/**
 * Lets any number of waiters go at each change; a wait ends quietly when its signal aborts, and at once when it has:
 * a loop around it must look at the signal too, or it never lets anything else run.
 */
export class Latch {
  #waiters = new Set<() => void>();

  open(): void {
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    for (const go of waiters) go();
  }

  wait(signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const go = () => {
        signal?.removeEventListener("abort", go);
        this.#waiters.delete(go);
        resolve();
      };
      this.#waiters.add(go);
      signal?.addEventListener("abort", go, { once: true });
    });
  }
}
