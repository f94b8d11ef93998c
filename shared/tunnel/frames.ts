/**
 * Frames of the tunnel: binary WebSocket messages, one frame each. A type (1 byte), the stream (4 bytes, big endian), the
 * payload. Only the edge opens streams; ids count up and are never used again on one socket.
 */
import * as z from "zod";
import { DATA_BYTES, FRAGMENT_BYTES, HEAD_BYTES, MESSAGE_BYTES } from "./limits.ts";

const header = z.tuple([z.string().max(1_024), z.string().max(HEAD_BYTES)]);
const headers = z.array(header).max(2_000);

/** What the edge asks of the app: end-to-end headers only, in their order. */
const requestHeadSchema = z.object({
  kind: z.literal("request"),
  method: z.string().min(1).max(128),
  /** Path and query, as the app is to see them. */
  target: z.string().startsWith("/").max(HEAD_BYTES),
  headers,
  /** Whether a body follows: without one, no END is sent. */
  body: z.boolean(),
  /** A WebSocket handshake: messages follow the head in place of bytes. */
  upgrade: z.boolean(),
});
export type RequestHead = z.infer<typeof requestHeadSchema>;

/** Asks for what a container printed: the answer's body is NDJSON of `{"stream", "data", "time"}`, one a chunk of output. */
const logsHeadSchema = z.object({
  kind: z.literal("logs"),
  /** RFC 3339; null for the beginning of what is kept. */
  since: z.string().max(64).nullable(),
  /** Lines before the present ones; null for all. */
  tail: z.int().min(0).max(1_000_000).nullable(),
  /** Goes on until somebody resets it. */
  follow: z.boolean(),
});
export type LogsHead = z.infer<typeof logsHeadSchema>;

const openHeadSchema = z.discriminatedUnion("kind", [requestHeadSchema, logsHeadSchema]);
export type OpenHead = z.infer<typeof openHeadSchema>;

/** Whether the edge sends nothing behind the head. */
export function isSilent(head: OpenHead): boolean {
  return head.kind === "logs" || (!head.body && !head.upgrade);
}

export const responseHeadSchema = z.object({
  status: z.int().min(200).max(599),
  headers,
  body: z.boolean(),
});
/** 101 is said by `upgraded`: then messages follow, and `status` and `body` mean nothing. */
export const answerHeadSchema = z.union([
  z.object({ upgraded: z.literal(true), protocol: z.string().max(1_024).nullable() }),
  responseHeadSchema,
]);
export type ResponseHead = z.infer<typeof responseHeadSchema>;
export type AnswerHead = z.infer<typeof answerHeadSchema>;

/** Why a stream ended before its time. `refused`: nothing was done, it may be asked again. */
const RESET_CODES = ["cancelled", "refused", "unreachable", "timeout", "broken"] as const;
export type ResetCode = (typeof RESET_CODES)[number];
const resetSchema = z.object({
  code: z.string().transform((code) => RESET_CODES.find((known) => known === code) ?? "broken"),
  message: z.string().max(1_000),
});
const closeSchema = z.object({ code: z.int().min(1000).max(4999), reason: z.string().max(123) });

export type Frame =
  | { t: "open"; stream: number; head: OpenHead }
  | { t: "head"; stream: number; head: AnswerHead }
  | { t: "data"; stream: number; data: Uint8Array }
  | { t: "end"; stream: number }
  | { t: "reset"; stream: number; code: ResetCode; message: string }
  | { t: "credit"; stream: number; bytes: number }
  /** Of a WebSocket message: `more` says that further fragments follow. */
  | { t: "message"; stream: number; data: Uint8Array; text: boolean; more: boolean }
  | { t: "close"; stream: number; code: number; reason: string }
  /** The edge begins anew, with stream 1: every stream of before is over (protocol rule 20). `stream` is 0. */
  | { t: "fresh"; stream: number };

const TYPES = [
  "open",
  "head",
  "data",
  "end",
  "reset",
  "credit",
  "message",
  "close",
  "fresh",
] as const;
const HEADER_BYTES = 5;
/** Flags of a message, in its first payload byte. */
const TEXT = 1;
const MORE = 2;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A frame that is none, or is too large: the other end has a bug or an enemy; the socket is closed. */
export class FrameError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "FrameError";
  }
}

/** Throws FrameError for a head beyond the limits. */
export function encodeFrame(frame: Frame): Uint8Array {
  const payload = payloadOf(frame);
  const bytes = new Uint8Array(HEADER_BYTES + payload.length);
  bytes[0] = TYPES.indexOf(frame.t) + 1;
  new DataView(bytes.buffer).setUint32(1, frame.stream);
  bytes.set(payload, HEADER_BYTES);
  return bytes;
}

/** Null for a type that this version does not know. Throws FrameError. */
export function decodeFrame(bytes: Uint8Array): Frame | null {
  if (bytes.length < HEADER_BYTES) throw new FrameError("a frame is cut short");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const t = TYPES[view.getUint8(0) - 1];
  const stream = view.getUint32(1);
  const payload = bytes.subarray(HEADER_BYTES);
  switch (t) {
    case undefined:
      return null;
    case "open":
      return { t, stream, head: parse(openHeadSchema, payload) };
    case "head":
      return { t, stream, head: parse(answerHeadSchema, payload) };
    case "data":
      if (payload.length === 0 || payload.length > DATA_BYTES)
        throw new FrameError(`data of ${payload.length} bytes`);
      return { t, stream, data: payload };
    case "end":
    case "fresh":
      return { t, stream };
    case "reset":
      return { t, stream, ...parse(resetSchema, payload) };
    case "credit": {
      if (payload.length !== 4) throw new FrameError("credit is four bytes");
      const bytes = view.getUint32(HEADER_BYTES);
      if (bytes === 0) throw new FrameError("credit for nothing");
      return { t, stream, bytes };
    }
    case "message": {
      const flags = payload[0];
      if (flags === undefined || payload.length - 1 > FRAGMENT_BYTES)
        throw new FrameError(`a message of ${payload.length} bytes`);
      const data = payload.subarray(1);
      return { t, stream, data, text: (flags & TEXT) !== 0, more: (flags & MORE) !== 0 };
    }
    default:
      return { t, stream, ...parse(closeSchema, payload) };
  }
}

/** The frames of one WebSocket message. Throws FrameError when it is larger than the tunnel takes. */
export function* messageFrames(stream: number, message: string | Uint8Array): Generator<Frame> {
  const text = typeof message === "string";
  const bytes = text ? encoder.encode(message) : message;
  if (bytes.length > MESSAGE_BYTES)
    throw new FrameError(`a message has at most ${MESSAGE_BYTES} bytes here`);
  let at = 0;
  do {
    const data = bytes.subarray(at, at + FRAGMENT_BYTES);
    at += data.length;
    yield { t: "message", stream, data, text, more: at < bytes.length };
  } while (at < bytes.length);
}

function payloadOf(frame: Frame): Uint8Array {
  switch (frame.t) {
    case "open":
      return json(checked(openHeadSchema, frame.head), HEAD_BYTES);
    case "head":
      return json(checked(answerHeadSchema, frame.head), HEAD_BYTES);
    case "data":
      return frame.data;
    case "end":
    case "fresh":
      return new Uint8Array();
    case "reset":
      return json({ code: frame.code, message: frame.message.slice(0, 1_000) }, HEAD_BYTES);
    case "credit": {
      const bytes = new Uint8Array(4);
      new DataView(bytes.buffer).setUint32(0, frame.bytes);
      return bytes;
    }
    case "message": {
      const bytes = new Uint8Array(1 + frame.data.length);
      bytes[0] = (frame.text ? TEXT : 0) | (frame.more ? MORE : 0);
      bytes.set(frame.data, 1);
      return bytes;
    }
    case "close":
      return json(checked(closeSchema, frame), HEAD_BYTES);
  }
}

function json(value: unknown, limit: number): Uint8Array {
  const bytes = encoder.encode(JSON.stringify(value));
  if (bytes.length > limit) throw new FrameError(`a head has at most ${limit} bytes`);
  return bytes;
}

function parse<T>(schema: z.ZodType<T>, payload: Uint8Array): T {
  if (payload.length > HEAD_BYTES) throw new FrameError(`a head of ${payload.length} bytes`);
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(payload));
  } catch {
    throw new FrameError("a head is no JSON");
  }
  return checked(schema, value);
}

/** What one end sends the other takes: both hold it against the same limits. */
function checked<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new FrameError(
    `a head's ${issue?.path.join(".") || "kind"}: ${issue?.message ?? "invalid"}`,
  );
}
