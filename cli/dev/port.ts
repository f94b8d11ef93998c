/** The port of a Worker on this machine. */
import { randomInt } from "node:crypto";
import { createServer } from "node:net";
import { CliError, messageOf, systemCode } from "../errors.ts";

export const ADDRESS = "127.0.0.1";

/**
 * Ports that systems hand out to nobody unasked: Linux does from 32768 on (ip_local_port_range), others from 49152 on
 * (RFC 6335 section 6). One of those could be another program's while the Worker starts again.
 */
const UNASKED = { from: 20_000, before: 32_768 } as const;
/** Ports that are tried before there is none. */
const TRIES = 100;

/** The port itself when it is free; for 0 a free one that no program is given unasked. Throws CliError. */
export async function freePort(port: number): Promise<number> {
  if (port === 0) return anyPort();
  const error = await tryPort(port);
  if (error === null) return port;
  const why =
    systemCode(error) === "EADDRINUSE"
      ? "is taken: end what listens there"
      : `cannot be used (${messageOf(error)})`;
  throw new CliError(`Port ${port} ${why}, or choose another with --port (0: a free one).`);
}

async function anyPort(): Promise<number> {
  for (let tries = 0; tries < TRIES; tries++) {
    const port = randomInt(UNASKED.from, UNASKED.before);
    if ((await tryPort(port)) === null) return port;
  }
  throw new CliError(`No port from ${UNASKED.from} on is free: choose one with --port.`);
}

/** Why nothing can listen there; null when it can. */
function tryPort(port: number): Promise<Error | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", resolve);
    server.listen(port, ADDRESS, () => server.close(() => resolve(null)));
  });
}
