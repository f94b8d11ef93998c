/** What is to be undone, in reverse order, once. */
export class Ends {
  readonly #ends: (() => unknown)[] = [];
  #running: Promise<void> | null = null;

  push(end: () => unknown): void {
    this.#ends.push(end);
  }

  get begun(): boolean {
    return this.#running !== null;
  }

  /** Runs all of them, and then throws the first error. */
  run(): Promise<void> {
    this.#running ??= (async () => {
      const errors: unknown[] = [];
      for (const end of this.#ends.reverse())
        try {
          await end();
        } catch (error) {
          errors.push(error);
        }
      if (errors.length > 0) throw errors[0];
    })();
    return this.#running;
  }
}
