/** Headers between the tunnel and the app's own connection (RFC 9110 section 7.6.1, RFC 9112 section 6). Pure. */
import type { RequestHead } from "../../shared/tunnel/index.ts";

type Pairs = readonly (readonly [name: string, value: string])[];

/** Of one connection: the tunnel's other end has its own. `expect` was answered there. */
const HOP_BY_HOP = new Set([
  "connection",
  "expect",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);
/** Methods for which a missing body is worth a word (RFC 9110 section 8.6). */
const EXPECTS_BODY = new Set(["POST", "PUT", "PATCH"]);
/** The handshake's own, which the client of the app's WebSocket makes anew. */
const HANDSHAKE = /^sec-websocket-(?:key|version|extensions|accept|protocol)$/;

export type Framed = {
  /** Names and values in turn, as they go over the wire. */
  raw: string[];
  /** Bytes of the body that were promised; null when its end tells. */
  length: number | null;
};

/**
 * The head of a request, with one framing of its body that cannot be read in two ways: whatever the sender said of it
 * counts only where it is one number.
 */
export function requestFraming({ method, headers, body }: RequestHead, address: string): Framed {
  const kept = headers.filter(([name]) => !isFraming(name));
  const length = body ? lengthOf(headers) : null;
  const raw = kept.flatMap(([name, value]) => [name, toWire(value)]);
  if (!kept.some(([name]) => name.toLowerCase() === "host")) raw.push("Host", address);
  if (length !== null) raw.push("Content-Length", String(length));
  else if (body) raw.push("Transfer-Encoding", "chunked");
  else if (EXPECTS_BODY.has(method)) raw.push("Content-Length", "0");
  return { raw, length };
}

/** End-to-end headers of an answer, of Node's raw list. */
export function answerHeaders(raw: readonly string[]): [string, string][] {
  const pairs = Array.from({ length: raw.length / 2 }, (_, i): [string, string] => [
    raw[2 * i] ?? "",
    raw[2 * i + 1] ?? "",
  ]);
  const hops = new Set(
    pairs
      .filter(([name]) => name.toLowerCase() === "connection")
      .flatMap(([, value]) =>
        value
          .toLowerCase()
          .split(",")
          .map((option) => option.trim()),
      ),
  );
  return pairs
    .filter(([name]) => !HOP_BY_HOP.has(name.toLowerCase()) && !hops.has(name.toLowerCase()))
    .map(([name, value]) => [name, fromWire(value)]);
}

/** For the app's WebSocket: the handshake's headers are made anew. */
export function handshakeHeaders(headers: Pairs): {
  headers: Record<string, string[]>;
  protocols: string[];
} {
  const found: Record<string, string[]> = {};
  const protocols: string[] = [];
  for (const [name, value] of headers) {
    const lower = name.toLowerCase();
    if (lower === "sec-websocket-protocol")
      protocols.push(...value.split(",").map((protocol) => protocol.trim()));
    if (HANDSHAKE.test(lower) || isFraming(lower)) continue;
    found[lower] = [...(found[lower] ?? []), toWire(value)];
  }
  return { headers: found, protocols: protocols.filter(Boolean) };
}

const ASCII = /^[ -~\t]*$/;
const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A value as Node writes it, a character for each byte: the tunnel's text in UTF-8, as workerd reads and writes it. */
function toWire(value: string): string {
  return ASCII.test(value) ? value : Buffer.from(value).toString("latin1");
}

/** The text of a value as Node reads it. Bytes that are no UTF-8 are taken for latin-1. */
function fromWire(value: string): string {
  if (ASCII.test(value)) return value;
  try {
    return UTF8.decode(Buffer.from(value, "latin1"));
  } catch {
    return value;
  }
}

function isFraming(name: string): boolean {
  const lower = name.toLowerCase();
  return HOP_BY_HOP.has(lower) || lower === "content-length";
}

function lengthOf(headers: Pairs): number | null {
  const said = headers.filter(([name]) => name.toLowerCase() === "content-length");
  const [first] = said;
  if (first === undefined || said.length > 1 || !/^\d{1,15}$/.test(first[1])) return null;
  return Number(first[1]);
}
