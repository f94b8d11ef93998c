/**
 * One process for one home: two would write the same journals. A listening Unix socket is let go by the kernel
 * however its process ends, and works between containers that share the folder.
 */
import { rm } from "node:fs/promises";
import { connect, createServer, type Server } from "node:net";
import { join } from "node:path";
import { AgentExit, EXIT } from "./errors.ts";

const LOCK_FILE = "agent.lock";
/** Bytes that a Unix socket's path may have, on every system. */
const PATH_BYTES = 103;

/**
 * The lock ends with the process, or by `close`.
 *
 * @param instead what to do when another process holds it
 * @throws AgentExit then
 */
export async function lock(home: string, instead: string): Promise<Server> {
  const path = join(home, LOCK_FILE);
  if (Buffer.byteLength(path) > PATH_BYTES)
    throw new AgentExit(
      EXIT.usage,
      `The path of --home ${home} is too long: at most ${PATH_BYTES - LOCK_FILE.length - 1} bytes.`,
    );
  try {
    return await listen(path);
  } catch (error) {
    if (!hasCode(error, "EADDRINUSE"))
      throw new AgentExit(
        EXIT.usage,
        `${path} cannot be made: ${error instanceof Error ? error.message : error}`,
      );
  }
  if (await answers(path))
    throw new AgentExit(EXIT.usage, `An agent runs with --home ${home}. ${instead}`);
  await rm(path, { force: true });
  return listen(path);
}

function listen(path: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once("error", reject);
    server.listen(path, () => resolve(server));
    server.unref();
  });
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", (error) =>
      resolve(!hasCode(error, "ECONNREFUSED") && !hasCode(error, "ENOENT")),
    );
  });
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
