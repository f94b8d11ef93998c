/** What every shell here does as those of worker/objects do. */
import type { Context, Problem, Shell, Upgrade } from "./object.ts";
import type { ServerSocket } from "./socket.ts";

/** An object without sockets and alarms. */
export class PlainShell implements Shell {
  async alarm(): Promise<void> {}

  async fetch(_upgrade: Upgrade, _socket: ServerSocket): Promise<"accepted" | Problem> {
    return { status: 404, code: "not_found" };
  }

  async message(): Promise<void> {}

  closed(): void {}
}

/** As portsOf of worker/objects/platform.ts. */
export function portsOf({ sql, clock, random, alarm }: Context) {
  return { sql, clock, random, alarm };
}

const UNSENDABLE = new Set([1005, 1006, 1015]);

/** As closeQuietly of worker/objects/platform.ts. */
export function closeQuietly(socket: ServerSocket, code: number, reason: string): void {
  socket.close(UNSENDABLE.has(code) ? 1000 : code, reason);
}
