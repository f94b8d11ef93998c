/** HTTP calls to the edge. Whatever stands between (a proxy's page, a redirect, a cut) is told apart from its word. */
import type * as z from "zod";

/** Milliseconds one small call may take. */
export const CALL_MS = 15_000;
/** Bytes that are handed to the connection at once. */
const PIECE_BYTES = 64 * 1024;
/** Milliseconds without a byte after which a download is given up. */
const SILENCE_MS = 30_000;
const PROBLEM_TYPE = "application/problem+json";
/** Characters of an answer that are read for its message. */
const MESSAGE_CHARS = 300;

/** The edge itself said no: stable code and its sentence. */
export class EdgeRefusal extends Error {
  readonly status: number;
  readonly code: string;
  constructor(status: number, code: string, detail: string) {
    super(detail);
    this.name = "EdgeRefusal";
    this.status = status;
    this.code = code;
  }
}

/** Nobody knows what the edge thinks: try again. */
export class EdgeUnreachable extends Error {
  constructor(message: string) {
    super(message);
    this.name = "EdgeUnreachable";
  }
}

export type Answer = { status: number; type: string; body: string };

/**
 * The refusal that an answer is: only an RFC 9457 body counts, since a proxy may answer anything with any status;
 * and a server's own failure (5xx), or its wish to be left alone (429), is no refusal.
 */
export function refusalOf({ status, type, body }: Answer): EdgeRefusal | null {
  if (status < 400 || status >= 500 || status === 429 || !type.startsWith(PROBLEM_TYPE))
    return null;
  try {
    const problem: unknown = JSON.parse(body);
    if (typeof problem !== "object" || problem === null) return null;
    const code = "code" in problem ? String(problem.code) : "unknown";
    const detail = "detail" in problem ? String(problem.detail) : `HTTP ${status}`;
    return new EdgeRefusal(status, code, detail.slice(0, MESSAGE_CHARS));
  } catch {
    return null;
  }
}

/**
 * Calls the edge and parses its answer.
 * @throws EdgeRefusal when the edge said no, EdgeUnreachable when anything else came back, or nothing
 */
export async function call<T>(
  url: URL,
  init: RequestInit & { timeout_ms?: number },
  schema: z.ZodType<T>,
): Promise<T> {
  const { timeout_ms = CALL_MS, signal, body = null, ...rest } = init;
  const timeout = AbortSignal.timeout(timeout_ms);
  let answer: Answer;
  try {
    const response = await fetch(url, {
      ...rest,
      ...(body instanceof Uint8Array ? inPieces(body, rest.headers) : { body }),
      redirect: "manual",
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
    });
    answer = {
      status: response.status,
      type: response.headers.get("content-type") ?? "",
      body: await response.text(),
    };
  } catch (error) {
    throw new EdgeUnreachable(`${url.host} cannot be reached: ${networkCause(error)}`);
  }
  return understood(url, answer, schema);
}

/** A body that fetch does not copy as a whole, with the length that is not known of a stream. */
function inPieces(bytes: Uint8Array, headers: RequestInit["headers"]): RequestInit {
  const withLength = new Headers(headers);
  withLength.set("content-length", String(bytes.length));
  return { headers: withLength, body: ReadableStream.from(pieces(bytes)), duplex: "half" };
}

function* pieces(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) yield bytes.subarray(at, at + PIECE_BYTES);
}

/** What the edge said. @throws EdgeRefusal when it said no, EdgeUnreachable when this is not its word */
export function understood<T>(url: URL, answer: Answer, schema: z.ZodType<T>): T {
  const refusal = refusalOf(answer);
  if (refusal) throw refusal;
  const parsed = schema.safeParse(json(answer.body));
  if (answer.status >= 200 && answer.status < 300 && parsed.success) return parsed.data;
  throw new EdgeUnreachable(
    `${url.host} answered ${answer.status} ${answer.type || "without a type"}`,
  );
}

/**
 * The bytes of a file at the edge behind the first `from`.
 * @throws EdgeRefusal when the edge said no, EdgeUnreachable when anything else came back, or the bytes end early
 */
export async function* download(
  url: URL,
  bearer: string,
  from: number,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const silence = new AbortController();
  const silent = () => silence.abort(new Error("no byte came for a while"));
  let timer = setTimeout(silent, SILENCE_MS);
  try {
    const response = await fetch(url, {
      headers: {
        authorization: `Bearer ${bearer}`,
        // A proxy's own compression would change what the range counts.
        "accept-encoding": "identity",
        ...(from > 0 && { range: `bytes=${from}-` }),
      },
      redirect: "manual",
      signal: AbortSignal.any([signal, silence.signal]),
    });
    const type = response.headers.get("content-type") ?? "";
    if (response.status !== (from > 0 ? 206 : 200) || response.body === null) {
      const { status } = response;
      const refusal = refusalOf({ status, type, body: await response.text() });
      throw refusal ?? new EdgeUnreachable(`${url.host} answered ${status} ${type}`);
    }
    for await (const chunk of response.body) {
      clearTimeout(timer);
      yield chunk;
      timer = setTimeout(silent, SILENCE_MS);
    }
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    if (error instanceof EdgeRefusal || error instanceof EdgeUnreachable) throw error;
    throw new EdgeUnreachable(`${url.host} cannot be reached: ${networkCause(error)}`);
  } finally {
    clearTimeout(timer);
  }
}

/** What broke the connection: fetch hides it in the cause. */
function networkCause(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  if (!(cause instanceof Error)) return String(cause);
  return "code" in cause && !cause.message ? String(cause.code) : cause.message;
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** An http(s) URL of the edge, for WebSockets too. */
export function edgeUrl(base: string, path: string, socket = false): URL {
  const url = new URL(path, base.endsWith("/") ? base : `${base}/`);
  if (socket) url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url;
}
