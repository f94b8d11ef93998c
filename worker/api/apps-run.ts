/** POST /run: the tar goes into the bucket, the App puts the deploy in line. */
import type { Context } from "hono";
import { parseTar } from "nanotar";
import { CONTEXT_BYTES, CONTEXT_JSON_BYTES } from "../../shared/limits.ts";
import { Problem } from "../../shared/problem.ts";
import type { AppEnv } from "../app.ts";
import { contextTooLarge, putContext, removeContext } from "../artifacts.ts";
import type { DeployAnswer } from "../core/app-contracts.ts";
import type { BuildContext, Caller } from "../core/contracts.ts";
import { contextKey } from "../core/manifest.ts";
import { randomHex } from "../random.ts";
import { retrying } from "../retry.ts";
import { sha256 } from "../secrets.ts";
import { type Asked, askedOf, bad, decodeData, readFields } from "./apps-request.ts";
import { refusedForNow } from "./go-answers.ts";

const TAR_TYPES = new Set([
  "application/x-tar",
  "application/tar",
  "application/gzip",
  "application/x-gzip",
]);
/** Bytes of a build id, and of a context's nonce. */
const ID_BYTES = 16;
const GZIP = [0x1f, 0x8b];
/** Where a tar says that it is one, and what (POSIX.1-2024, pax, "ustar Interchange Format"). */
const MAGIC_AT = 257;

/** Answers with the id of the deploy's log. */
export async function run(c: Context<AppEnv>, caller: Caller): Promise<string> {
  const type = c.req.header("content-type")?.split(";")[0]?.trim().toLowerCase() ?? "";
  if (TAR_TYPES.has(type)) return runRaw(c, caller);
  const { data, ...fields } = await readFields(c);
  const asked = askedOf(c.env, fields);
  const tar = data instanceof File ? new Uint8Array(await data.arrayBuffer()) : decodeData(data);
  if (tar.length > CONTEXT_JSON_BYTES)
    throw new Problem(
      "too_large",
      `A tar in a form or as base64 has at most ${CONTEXT_JSON_BYTES} bytes. Send it as the body: POST /run?project=…&rule=… with Content-Type: application/x-tar.`,
    );
  await checkTar(tar, asked.settings.dockerfile);
  return store(c, asked, caller, once(tar));
}

async function runRaw(c: Context<AppEnv>, caller: Caller): Promise<string> {
  const asked = askedOf(c.env, Object.fromEntries(new URL(c.req.url).searchParams));
  if (Number(c.req.header("content-length") ?? 0) > CONTEXT_BYTES) throw contextTooLarge();
  return store(c, asked, caller, beginsAsTar(c.req.raw.body ?? once(new Uint8Array())));
}

async function store(
  c: Context<AppEnv>,
  asked: Asked,
  caller: Caller,
  chunks: AsyncIterable<Uint8Array>,
): Promise<string> {
  const build = randomHex(ID_BYTES);
  const context = await putContext(c.env.ARTIFACTS, contextKey(build, randomHex(ID_BYTES)), chunks);
  try {
    if (context.size === 0) throw notTar();
    return await deploy(c, asked, caller, build, context);
  } catch (error) {
    await removeContext(c.env.ARTIFACTS, context);
    throw error;
  }
}

async function deploy(
  c: Context<AppEnv>,
  { project, rule, settings }: Asked,
  caller: Caller,
  build: string,
  context: BuildContext,
): Promise<string> {
  const { dockerfile, no_cache } = settings;
  const anew = no_cache ? ` ${build}` : "";
  const fingerprint = await sha256(`${context.sha256} ${dockerfile}${anew}`);
  // Asked twice, it is still one deploy.
  const answer = await retrying(
    async (): Promise<DeployAnswer> =>
      c.env.APPS.getByName(project).deploy({
        project,
        rule,
        settings,
        fingerprint,
        build,
        context,
        caller,
      }),
  );
  return logOf(answer, rule);
}

/** The log of a deploy that was taken. Throws Problem for one that was not. */
export function logOf(answer: DeployAnswer, rule: string): string {
  if (answer.kind === "ok") return answer.build;
  if (answer.code === "rule_taken")
    throw new Problem(
      "bad_rule",
      `The project "${answer.by}" has the rule ${rule} already. Choose another, or delete that project first.`,
    );
  if (answer.code === "unknown")
    throw new Problem("not_found", "There is no such deployment to go back to.");
  throw refusedForNow(answer);
}

/** A whole small tar: it parses, and holds the Dockerfile. */
async function checkTar(tar: Uint8Array<ArrayBuffer>, dockerfile: string): Promise<void> {
  const plain = GZIP.every((byte, i) => tar[i] === byte) ? await gunzip(tar) : tar;
  if (!isTar(plain)) throw notTar();
  const wanted = dockerfile.replace(/^\.\//, "");
  const names = parseTar(plain).map(({ name }) => name.replace(/^\.\//, ""));
  if (!names.includes(wanted))
    throw bad("data", `holds no ${wanted}: tar the project's folder, not the folder around it`);
}

async function gunzip(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  const stream = new Response(bytes).body?.pipeThrough(new DecompressionStream("gzip"));
  const parts: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const part of stream ?? []) {
      parts.push(part);
      size += part.length;
      if (size > 4 * CONTEXT_JSON_BYTES) throw unpacksTooLarge();
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

/** Passes on what begins like a tar, or like gzip: what a stream holds is the agent's to find out. */
async function* beginsAsTar(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
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
  if (!known && head.length > 0) throw notTar();
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

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
