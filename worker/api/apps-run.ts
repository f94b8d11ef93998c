/** POST /run: the tar goes into the bucket, the App puts the deploy in line. */
import type { Context } from "hono";
import { CONTEXT_BYTES, CONTEXT_JSON_BYTES } from "../../shared/limits.ts";
import { Problem } from "../../shared/problem.ts";
import type { AppEnv } from "../app.ts";
import { contextTooLarge, putContext, removeContext } from "../artifacts.ts";
import { bodyOf, type Chunks, once, readText } from "../body.ts";
import type { DeployAnswer } from "../core/app-contracts.ts";
import type { BuildContext, Caller } from "../core/contracts.ts";
import { appContextKey } from "../core/manifest.ts";
import { boundaryOf, readParts } from "../multipart.ts";
import { randomHex } from "../random.ts";
import { retrying } from "../retry.ts";
import { sha256 } from "../secrets.ts";
import {
  type Asked,
  askedOf,
  bad,
  decodeData,
  fieldsTooLarge,
  mediaType,
  queryFields,
  RUN_BYTES,
  readFields,
} from "./apps-request.ts";
import { beginsAsTar, checkTar } from "./apps-tar.ts";
import { refusedForNow } from "./go-answers.ts";

export const TAR_TYPES = [
  "application/x-tar",
  "application/tar",
  "application/gzip",
  "application/x-gzip",
] as const;
/** Bytes of a build id, and of a context's nonce. */
const ID_BYTES = 16;

type Stored = { build: string; context: BuildContext };

/** Answers with the id of the deploy's log. */
export async function run(c: Context<AppEnv>, caller: Caller): Promise<string> {
  const type = mediaType(c);
  if (TAR_TYPES.some((known) => known === type)) return runTar(c, caller);
  const boundary = boundaryOf(c.req.header("content-type"));
  if (boundary !== null) return runParts(c, caller, boundary);
  const { data, ...fields } = await readFields(c);
  return runEncoded(c, caller, askedOf(c.env, fields), data);
}

/** The body is the tar, the rest stands in the query. */
async function runTar(c: Context<AppEnv>, caller: Caller): Promise<string> {
  const asked = askedOf(c.env, queryFields(c));
  if (Number(c.req.header("content-length") ?? 0) > CONTEXT_BYTES) throw contextTooLarge();
  return deploy(c, asked, caller, await store(c, beginsAsTar(bodyOf(c.req.raw))));
}

/** The tar is base64, as peroku's clients send it. */
async function runEncoded(
  c: Context<AppEnv>,
  caller: Caller,
  asked: Asked,
  data: unknown,
): Promise<string> {
  const tar = decodeData(data);
  if (tar.length > CONTEXT_JSON_BYTES) throw fieldsTooLarge();
  await checkTar(tar, asked.settings.dockerfile);
  return deploy(c, asked, caller, await store(c, once(tar)));
}

/** A form whose file `data` goes into the bucket as it comes, wherever it stands among the fields. */
async function runParts(c: Context<AppEnv>, caller: Caller, boundary: string): Promise<string> {
  const fields = new Map(Object.entries(queryFields(c)));
  let room = RUN_BYTES;
  let stored: Stored | null = null;
  let asked: Asked;
  try {
    for await (const { name, isFile, content } of readParts(bodyOf(c.req.raw), boundary)) {
      if (!isFile) {
        const text = await readText(content, room, fieldsTooLarge);
        room -= text.length;
        fields.set(name, text);
        continue;
      }
      if (name !== "data") throw bad(name, 'is a file: the one that holds the tar is "data"');
      if (stored !== null) throw bad(name, "is there twice");
      // Better than behind the tar.
      if (fields.has("project") && fields.has("rule")) askedOf(c.env, Object.fromEntries(fields));
      stored = await store(c, beginsAsTar(content));
    }
    asked = askedOf(c.env, Object.fromEntries(fields));
  } catch (error) {
    if (stored !== null) await removeContext(c.env.ARTIFACTS, stored.context);
    throw error;
  }
  if (stored === null) return runEncoded(c, caller, asked, fields.get("data"));
  return deploy(c, asked, caller, stored);
}

async function store(c: Context<AppEnv>, chunks: Chunks): Promise<Stored> {
  const build = randomHex(ID_BYTES);
  const key = appContextKey(build, randomHex(ID_BYTES));
  return { build, context: await putContext(c.env.ARTIFACTS, key, chunks) };
}

/** Throws Problem, with the context removed. */
async function deploy(
  c: Context<AppEnv>,
  { project, rule, settings }: Asked,
  caller: Caller,
  { build, context }: Stored,
): Promise<string> {
  const { dockerfile, no_cache } = settings;
  const anew = no_cache ? ` ${build}` : "";
  const fingerprint = await sha256(`${context.sha256} ${dockerfile}${anew}`);
  try {
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
  } catch (error) {
    await removeContext(c.env.ARTIFACTS, context);
    throw error;
  }
}

/** The log of a deploy that was taken. Throws Problem for one that was not. */
export function logOf(answer: DeployAnswer, rule: string): string {
  if (answer.kind === "ok") return answer.build;
  if (answer.code === "rule_taken")
    throw new Problem(
      "bad_rule",
      `The project "${answer.by}" has the rule ${rule} already. Choose another, or delete that project first.`,
    );
  throw refusedForNow(answer);
}
