/** The stack's side of guard.ts: a process that ends what the stack leaves when it dies. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";

export type Guardian = {
  /** Whether a signal was sent to the whole process group: then every child has had it too. */
  groupSignalled(): boolean;
  /** Lets it end what is left, and then itself. Idempotent. */
  end(): Promise<void>;
};

/** Watches over the stack of `root`, a checkout, on the folder `state`. */
export function startGuardian(root: string, state: string): Guardian {
  const child = spawn(process.execPath, [join(root, "cli/dev/guard.ts"), state], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  let signalled = false;
  child.stdout.on("data", () => {
    signalled = true;
  });
  // It may be gone already, if somebody killed it.
  child.stdin.on("error", () => {});
  return {
    groupSignalled: () => signalled,
    async end() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, "exit");
      child.stdin.end();
      await exited;
    },
  };
}
