/**
 * Fetches a tar from an address that a stranger named: http and https to public addresses only, looked up once and
 * connected to as looked up, every redirect judged anew.
 */
import { type LookupAddress, lookup } from "node:dns";
import { createWriteStream } from "node:fs";
import { type IncomingMessage, request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { BlockList, isIP, type LookupFunction } from "node:net";
import { pipeline } from "node:stream/promises";
import { showSize } from "../sizes.ts";
import { RecipeFailure } from "./contracts.ts";

const REDIRECTS = 5;
/** Milliseconds without a byte. */
const SILENCE_MS = 30_000;
/** Milliseconds of the whole. */
const DOWNLOAD_MS = 10 * 60_000;

/** Not public (RFC 6890 and its kin). */
const NOT_PUBLIC = new BlockList();
for (const [network, bits] of [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.88.99.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 4],
  ["240.0.0.0", 4],
] as const)
  NOT_PUBLIC.addSubnet(network, bits, "ipv4");
// Tunnels and documentation within what is global unicast.
for (const [network, bits] of [
  ["2001::", 23],
  ["2001:db8::", 32],
  ["2002::", 16],
  ["3fff::", 20],
] as const)
  NOT_PUBLIC.addSubnet(network, bits, "ipv6");
const GLOBAL_V6 = new BlockList();
GLOBAL_V6.addSubnet("2000::", 3, "ipv6");

export type DownloadLimits = {
  max_bytes: number;
  /** IPv4 ranges (CIDR) that the operator lets builds reach although they are not public. */
  allow_addresses: readonly string[];
  signal: AbortSignal;
};

/**
 * Fetches `url` to the file `to`.
 * @throws RecipeFailure context_error
 */
export async function downloadTar(url: string, to: string, limits: DownloadLimits): Promise<void> {
  const signal = AbortSignal.any([limits.signal, AbortSignal.timeout(DOWNLOAD_MS)]);
  try {
    const response = await follow(url, { ...limits, signal });
    let bytes = 0;
    await pipeline(
      response,
      async function* (chunks: AsyncIterable<Buffer>) {
        for await (const chunk of chunks) {
          bytes += chunk.length;
          if (bytes > limits.max_bytes)
            throw failure(url, `it has more than ${showSize(limits.max_bytes)}`);
          yield chunk;
        }
      },
      createWriteStream(to, { mode: 0o600 }),
      { signal },
    );
  } catch (error) {
    limits.signal.throwIfAborted();
    if (error instanceof RecipeFailure) throw error;
    if (signal.aborted) throw failure(url, `it takes more than ${DOWNLOAD_MS / 60_000} minutes`);
    throw failure(url, error instanceof Error ? error.message : String(error));
  }
}

/** The answer at the end of the redirects. */
async function follow(url: string, limits: DownloadLimits): Promise<IncomingMessage> {
  let at = new URL(url);
  for (let redirects = 0; ; redirects++) {
    const response = await ask(at, limits);
    const { statusCode: status = 0, headers } = response;
    if (status === 200) return response;
    response.destroy();
    if (![301, 302, 303, 307, 308].includes(status) || headers.location === undefined)
      throw failure(url, `the server answered ${status}`);
    if (redirects === REDIRECTS) throw failure(url, `it redirects more than ${REDIRECTS} times`);
    at = new URL(headers.location, at);
  }
}

async function ask(
  url: URL,
  { allow_addresses, signal }: DownloadLimits,
): Promise<IncomingMessage> {
  if (url.protocol !== "http:" && url.protocol !== "https:")
    throw failure(url.href, "only http and https are fetched");
  const allowed = allowList(allow_addresses);
  const host = url.hostname.replace(/^\[|\]$/g, "");
  // A literal address is connected to without a lookup.
  if (isIP(host) !== 0 && !mayReach(host, allowed)) throw notPublic(url.href, host);
  const request = (url.protocol === "http:" ? requestHttp : requestHttps)(url, {
    agent: false,
    headers: { accept: "*/*", "accept-encoding": "identity", "user-agent": "railhead" },
    lookup: pinned(url.href, allowed),
    timeout: SILENCE_MS,
    signal,
  });
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  request.on("response", resolve);
  request.on("error", reject);
  request.on("timeout", () => request.destroy(new Error("the server fell silent")));
  request.end();
  return promise;
}

/** Looks a name up and gives the connection those of its addresses only that may be reached. */
function pinned(url: string, allowed: BlockList): LookupFunction {
  return (host, options, callback) => {
    lookup(host, { all: true, order: "verbatim" }, (error, found) => {
      if (error) return callback(error, "", 0);
      const reachable = found.filter(({ address }) => mayReach(address, allowed));
      const [first] = reachable;
      if (first === undefined) return callback(notPublic(url, host), "", 0);
      if (options.all) callback(null, reachable as LookupAddress[]);
      else callback(null, first.address, first.family);
    });
  };
}

/** Whether a stranger may have this host connect to the address. */
export function mayReach(address: string, allowed: BlockList): boolean {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1] ?? address;
  if (isIP(mapped) === 4) return allowed.check(mapped) || !NOT_PUBLIC.check(mapped);
  return isIP(mapped) === 6 && GLOBAL_V6.check(mapped, "ipv6") && !NOT_PUBLIC.check(mapped, "ipv6");
}

export function allowList(ranges: readonly string[]): BlockList {
  const list = new BlockList();
  for (const range of ranges) {
    const [network = "", bits = "32"] = range.split("/");
    list.addSubnet(network, Number(bits), "ipv4");
  }
  return list;
}

function notPublic(url: string, host: string): RecipeFailure {
  return failure(
    url,
    `${host} is no public address. The agent's owner may allow it (allow_addresses)`,
  );
}

function failure(url: string, why: string): RecipeFailure {
  const { origin, pathname } = new URL(url);
  // Neither a login nor a signature, which a query may be.
  return new RecipeFailure("context_error", `${origin}${pathname} could not be fetched: ${why}.`);
}
