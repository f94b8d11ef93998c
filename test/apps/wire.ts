/** HTTP/1.1 as bytes on a socket, so that no client library hides a difference. */
import { connect } from "node:net";

/** Milliseconds of silence after which nothing more is expected of a connection that stays open. */
const SILENCE_MS = 5_000;

export type WireAnswer = {
  status: number;
  /** Statuses 1xx that came before. */
  informational: number[];
  headers: [name: string, value: string][];
  body: Buffer;
  /** Whether the answer ended as its framing says. */
  whole: boolean;
  /** Bytes behind it. */
  rest: Buffer;
};

/** Sends these bytes and reads until the other side ends, or says nothing more. */
export function converse(
  port: number,
  bytes: Buffer | string,
  silence_ms = SILENCE_MS,
): Promise<Buffer> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    const parts: Buffer[] = [];
    const done = () => {
      socket.destroy();
      resolve(Buffer.concat(parts));
    };
    socket.setTimeout(silence_ms, done);
    socket.on("data", (part: Buffer) => parts.push(part));
    socket.on("end", done);
    socket.on("error", done);
    socket.on("close", done);
    socket.write(bytes);
  });
}

/** The first answer in these bytes; null when there is none. */
export function readAnswer(method: string, bytes: Buffer): WireAnswer | null {
  const informational: number[] = [];
  for (let rest = bytes; ; ) {
    const end = rest.indexOf("\r\n\r\n");
    const [line = "", ...fields] = rest
      .subarray(0, Math.max(end, 0))
      .toString("latin1")
      .split("\r\n");
    const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(line)?.[1]);
    if (end === -1 || Number.isNaN(status)) return null;
    rest = rest.subarray(end + 4);
    if (status < 200) {
      informational.push(status);
      continue;
    }
    const headers = fields.map((field): [string, string] => {
      const colon = field.indexOf(":");
      return [field.slice(0, colon), field.slice(colon + 1).trim()];
    });
    return { status, informational, headers, ...readBody(method, status, headers, rest) };
  }
}

type Body = Pick<WireAnswer, "body" | "whole" | "rest">;

function readBody(
  method: string,
  status: number,
  headers: WireAnswer["headers"],
  bytes: Buffer,
): Body {
  const value = (wanted: string) =>
    headers.find(([name]) => name.toLowerCase() === wanted)?.[1].toLowerCase();
  if (method === "HEAD" || status === 204 || status === 304)
    return { body: Buffer.alloc(0), whole: true, rest: bytes };
  if (value("transfer-encoding") === "chunked") return unchunk(bytes);
  const length = value("content-length");
  if (length === undefined) return { body: bytes, whole: true, rest: Buffer.alloc(0) };
  const end = Number(length);
  return { body: bytes.subarray(0, end), whole: bytes.length >= end, rest: bytes.subarray(end) };
}

function unchunk(bytes: Buffer): Body {
  const parts: Buffer[] = [];
  for (let at = 0; ; ) {
    const line = bytes.indexOf("\r\n", at);
    const size = line === -1 ? Number.NaN : Number.parseInt(bytes.toString("latin1", at, line), 16);
    if (Number.isNaN(size) || line + 2 + size > bytes.length)
      return { body: Buffer.concat(parts), whole: false, rest: Buffer.alloc(0) };
    if (size === 0) {
      const end = bytes.indexOf("\r\n\r\n", line);
      const whole = end !== -1;
      return { body: Buffer.concat(parts), whole, rest: bytes.subarray(whole ? end + 4 : line) };
    }
    parts.push(bytes.subarray(line + 2, line + 2 + size));
    at = line + 2 + size + 2;
  }
}
