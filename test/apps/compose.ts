/** One request of the comparison, with the answer that the app gives, as bytes. */
import { randomBytes } from "node:crypto";
import { gzipSync } from "node:zlib";
import { CASE } from "./app.ts";

/** The app's host name at the edge. */
export const HOST = "app.test";

export type Case = {
  /** Printable ASCII: it goes along as a header. */
  name: string;
  method: string;
  request: Buffer;
  /** What the app answers, and then closes the connection; null for its 200. */
  answer: Buffer | null;
};

export type Header = readonly [name: string, value: string];
type Asked = {
  method?: string;
  target?: string;
  headers?: readonly Header[];
  body?: string | Buffer;
  /** In place of the Content-Length that goes with `body`. */
  framing?: readonly Header[];
  host?: string;
  answer?: string | Buffer | null;
};

/** One request, written as a client would. */
export function ask(
  name: string,
  { method = "GET", target = "/", headers = [], body, framing, host = HOST, answer }: Asked = {},
): Case {
  const length: Header[] =
    body === undefined ? [] : [["Content-Length", String(Buffer.byteLength(body))]];
  const lines: Header[] = [
    ["Host", host],
    [CASE, name],
    ...headers,
    ...(framing ?? length),
    ...(headers.some(([name]) => name === "Connection") ? [] : [["Connection", "close"] as const]),
  ];
  const head = `${method} ${target} HTTP/1.1\r\n${lines.map(([n, v]) => `${n}: ${v}\r\n`).join("")}\r\n`;
  const request = Buffer.concat([latin1(head), Buffer.from(body ?? "")]);
  return { name, method, request, answer: answer == null ? null : bytes(answer) };
}

/** An answer with a Content-Length, unless the headers say how it is framed. */
export function say(
  status: number,
  headers: readonly Header[] = [],
  body: string | Buffer = "",
): Buffer {
  const framed = headers.some(([name]) => /^(?:content-length|transfer-encoding)$/i.test(name));
  const all = framed ? headers : [...headers, ["Content-Length", String(Buffer.byteLength(body))]];
  const head = `HTTP/1.1 ${status} Some reason\r\n${all.map(([n, v]) => `${n}: ${v}\r\n`).join("")}\r\n`;
  return Buffer.concat([latin1(head), Buffer.from(body)]);
}

function bytes(text: string | Buffer): Buffer {
  return typeof text === "string" ? latin1(text) : text;
}

function latin1(text: string): Buffer {
  return Buffer.from(text, "latin1");
}

export function chunked(...parts: string[]): string {
  return `${parts.map((part) => `${Buffer.byteLength(part).toString(16)}\r\n${part}\r\n`).join("")}0\r\n\r\n`;
}

export const CHUNKED: Header = ["Transfer-Encoding", "chunked"];
/** A body of ten megabytes that nothing compresses. */
export const TEN_MB = randomBytes(10_000_000);
export const GZIP = gzipSync("the same text again and again ".repeat(50));
