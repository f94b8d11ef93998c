/** Whether what comes as a project is a tar, plain or gzip. */
import { parseTar } from "nanotar";
import { CONTEXT_JSON_BYTES } from "../../shared/limits.ts";
import { Problem } from "../../shared/problem.ts";
import type { Chunks } from "../body.ts";
import { bad } from "./apps-request.ts";

const GZIP = [0x1f, 0x8b];
/** Where a tar says that it is one, and what (POSIX.1-2024, pax, "ustar Interchange Format"). */
const MAGIC_AT = 257;
/** Bytes of tar, unpacked, that are looked through in memory. */
const LOOKED_THROUGH_BYTES = 4 * CONTEXT_JSON_BYTES;

/** A whole small tar: it parses, and holds the Dockerfile. Throws Problem. */
export async function checkTar(tar: Uint8Array<ArrayBuffer>, dockerfile: string): Promise<void> {
  const plain = isGzip(tar) ? await gunzip(tar) : tar;
  if (!isTar(plain)) throw notTar();
  const wanted = dockerfile.replace(/^\.\//, "");
  if (!namesIn(plain).includes(wanted))
    throw bad("data", `holds no ${wanted}: tar the project's folder, not the folder around it`);
}

function namesIn(tar: Uint8Array): string[] {
  try {
    return parseTar(tar).map(({ name }) => name.replace(/^\.\//, ""));
  } catch {
    throw bad("data", "is a tar that is cut off, or broken");
  }
}

/** Passes on what begins like a tar, or like gzip: what a stream holds is the agent's to find out. Throws Problem. */
export async function* beginsAsTar(chunks: Chunks): Chunks {
  let head = new Uint8Array();
  let known = false;
  for await (const chunk of chunks) {
    if (known) {
      yield chunk;
      continue;
    }
    const joined = new Uint8Array(head.length + chunk.length);
    joined.set(head);
    joined.set(chunk, head.length);
    head = joined;
    if (head.length < MAGIC_AT + 5 && !(head.length >= 2 && isGzip(head))) continue;
    if (!isGzip(head) && !isTar(head)) throw notTar();
    known = true;
    yield head;
  }
  if (!known) throw notTar();
}

async function gunzip(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  const stream = new Response(bytes).body?.pipeThrough(new DecompressionStream("gzip"));
  const parts: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const part of stream ?? []) {
      parts.push(part);
      size += part.length;
      if (size > LOOKED_THROUGH_BYTES) throw unpacksTooLarge();
    }
  } catch (error) {
    if (error instanceof Problem) throw error;
    throw notTar();
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

function unpacksTooLarge(): Problem {
  return new Problem(
    "too_large",
    "The tar unpacks to more than is looked through here. Send it as the body: POST /run?project=…&rule=… with Content-Type: application/gzip.",
  );
}

function isGzip(bytes: Uint8Array): boolean {
  return GZIP.every((byte, i) => bytes[i] === byte);
}

function isTar(bytes: Uint8Array): boolean {
  return new TextDecoder().decode(bytes.subarray(MAGIC_AT, MAGIC_AT + 5)) === "ustar";
}

function notTar(): Problem {
  return bad("data", "is no tar, plain or gzip");
}
