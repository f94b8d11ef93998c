/**
 * Who uses an image by its name, and who lends that name to another image: many may do the one, only one the other, and
 * never both.
 */
type Lock = { readers: number; writer: boolean; wake: (() => void)[] };

export class NameLocks {
  readonly #locks = new Map<string, Lock>();

  /** Runs `work` while no name of these is lent. */
  async reading<T>(names: readonly string[], work: () => Promise<T>): Promise<T> {
    const taken: string[] = [];
    try {
      for (const name of new Set(names)) {
        while (this.#of(name).writer) await this.#changed(name);
        // Nothing may come between the look and this.
        this.#of(name).readers += 1;
        taken.push(name);
      }
      return await work();
    } finally {
      for (const name of taken) {
        this.#of(name).readers -= 1;
        this.#wake(name);
      }
    }
  }

  /** Runs `work` while nobody else has the name. */
  async writing<T>(name: string, work: () => Promise<T>): Promise<T> {
    while (this.#of(name).writer || this.#of(name).readers > 0) await this.#changed(name);
    this.#of(name).writer = true;
    try {
      return await work();
    } finally {
      this.#of(name).writer = false;
      this.#wake(name);
    }
  }

  isFree(name: string): boolean {
    return !this.#locks.has(name);
  }

  #changed(name: string): Promise<void> {
    return new Promise((resolve) => void this.#of(name).wake.push(resolve));
  }

  #of(name: string): Lock {
    const found = this.#locks.get(name) ?? { readers: 0, writer: false, wake: [] };
    this.#locks.set(name, found);
    return found;
  }

  #wake(name: string): void {
    const lock = this.#of(name);
    if (!lock.writer && lock.readers === 0) this.#locks.delete(name);
    for (const wake of lock.wake.splice(0)) wake();
  }
}
