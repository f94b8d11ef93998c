/** POST of an image: the context goes into the bucket, the build is opened under an id of its own. */
import type { Context } from "hono";
import * as z from "zod";
import {
  BODY_BYTES,
  CONTEXT_BYTES,
  CONTEXT_JSON_BYTES,
  CREDENTIAL_CHARS,
} from "../../shared/limits.ts";
import { Problem } from "../../shared/problem.ts";
import { goTargetSchema } from "../../shared/recipes/go.ts";
import {
  type ImageCredential,
  type ImageSource,
  type ImageTarget,
  imageRepository,
  imageTargetKey,
  parseImageName,
} from "../../shared/recipes/image.ts";
import type { AppEnv } from "../app.ts";
import { contextTooLarge, putContext, removeContext } from "../artifacts.ts";
import { bodyOf, type Chunks, once, readText } from "../body.ts";
import { requireBuilder } from "../callers.ts";
import { poolFor, readConfig } from "../config.ts";
import type {
  BuildContext,
  BuildRequest,
  BuildSummary,
  Caller,
  EnsureAnswer,
} from "../core/contracts.ts";
import { contextKey } from "../core/manifest.ts";
import { decodeBasic, gitCredentials } from "../credentials.ts";
import { boundaryOf, readParts } from "../multipart.ts";
import { randomHex } from "../random.ts";
import { resolveVersion } from "../resolve.ts";
import { retrying } from "../retry.ts";
import { seal } from "../secrets.ts";
import { isOwnToken } from "../tokens.ts";
import { insufficient } from "../tutum.ts";
import { refusedForNow } from "./go-answers.ts";
import { remoteBase } from "./go-request.ts";
import {
  type AskedSource,
  type ImageFields,
  JSON_NAMES,
  parseFields,
  readFields,
  refused,
  sourceOf,
  targetOf,
  tooLargeForJson,
} from "./images-request.ts";

/** Host of what `github_…` names. */
const GITHUB = "github.com";
/** Bytes of a JSON body: a tar in base64, and the rest. */
const JSON_BYTES = Math.ceil((CONTEXT_JSON_BYTES * 4) / 3) + 1024 * 1024;
/** Bytes of a build id and of a context's nonce. */
const ID_BYTES = 16;
export const REGISTRY_HEADER = "railhead-registry-authorization";
export const SECRETS_HEADER = "railhead-build-secrets";
/** Stands for one that has not come yet. */
const NO_CONTEXT: ImageSource = { kind: "context", size: 0, sha256: "0".repeat(64) };
/** How the query, and our headers, call what a request may hold. */
const QUERY_NAMES = {
  ...JSON_NAMES,
  image_name: "image",
  args: "build_arg",
  labels: "label",
  secret_ids: "Railhead-Build-Secrets",
};

type Request = { id: string; caller: Caller };

/** tutum-builder's POST: JSON, or multipart with a tar and the JSON. */
export async function postBuild(c: Context<AppEnv>): Promise<BuildSummary> {
  const request = { id: randomHex(ID_BYTES), caller: await requireBuilder(c) };
  const boundary = boundaryOf(c.req.header("content-type"));
  if (boundary === null) {
    const json = await readText(bodyOf(c.req.raw), JSON_BYTES, tooLargeForJson);
    return start(c, request, parseFields(json), null);
  }
  const parts = readParts(bodyOf(c.req.raw), boundary);
  const tar = await parts.next();
  if (tar.done) throw insufficient();
  const context = await store(c, request, tar.value.content);
  return removing(c, context, async () => {
    const json = await parts.next();
    if (json.done) throw insufficient();
    return start(c, request, await secondPart(json.value.content), context);
  });
}

/** The JSON behind the tar. Whoever sends them the other way round is told, rather than what is no JSON in a tar. */
async function secondPart(part: Chunks): Promise<ImageFields> {
  const order = "send two parts, first the tar, then the JSON";
  const tooLarge = () => refused(`${order}: the second part has more than ${BODY_BYTES} bytes`);
  const json = await readText(part, BODY_BYTES, tooLarge);
  if (!json.trimStart().startsWith("{")) throw refused(`${order}: the second part is no JSON`);
  return parseFields(json);
}

/** Our own POST: the body is the tar, the rest stands in the query. */
export async function postContext(c: Context<AppEnv>, query: object): Promise<BuildSummary> {
  const request = { id: randomHex(ID_BYTES), caller: await requireBuilder(c) };
  const fields = readFields({
    ...query,
    ...registryLogin(c.req.header(REGISTRY_HEADER)),
    secrets: secretsIn(c.req.header(SECRETS_HEADER)),
  });
  // What is wrong with it is said before the body is read.
  targetOf(request.id, fields, NO_CONTEXT, QUERY_NAMES);
  if (Number(c.req.header("content-length") ?? 0) > CONTEXT_BYTES) throw contextTooLarge();
  const context = await store(c, request, bodyOf(c.req.raw));
  if (context === null) throw refused("The body must be a tar, plain or gzip.");
  return removing(c, context, () => start(c, request, fields, context));
}

/** Opens the build. A context that it does not use, or that nobody will, is removed. */
async function start(
  c: Context<AppEnv>,
  request: Request,
  fields: ImageFields,
  uploaded: BuildContext | null,
): Promise<BuildSummary> {
  const asked = sourceOf(fields, uploaded !== null);
  if (fields.image_name === "" || (asked === null && uploaded === null)) throw insufficient();
  if (asked === null) return open(c, request, fields, { context: uploaded, git: null });
  if (uploaded !== null) await removeContext(c.env.ARTIFACTS, uploaded);
  if (asked.kind !== "bytes") return open(c, request, fields, await locate(c, fields, asked));
  const context = await store(c, request, once(asked.bytes));
  return removing(c, context, () => open(c, request, fields, { context, git: null }));
}

type Located = {
  source?: ImageSource;
  context: BuildContext | null;
  /** Authorization value for the git host. */
  git: string | null;
};

/** A source that the agent fetches: of GitHub, the commit that is meant now. */
async function locate(
  c: Context<AppEnv>,
  fields: ImageFields,
  asked: Exclude<AskedSource, { kind: "bytes" }>,
): Promise<Located> {
  if (asked.kind === "url") return { source: asked, context: null, git: null };
  const { path, version } = asked;
  const remote = GITHUB;
  const base = remoteBase(readConfig(c.env), { remote });
  const { shape } = goTargetSchema;
  if (!shape.path.safeParse(path).success || !shape.version.safeParse(version).success)
    throw refused("github_username, github_reponame, github_tag: no repository is called so");
  const isOwn = (value: string) => isOwnToken(c.env, value);
  const credentials = gitCredentials(fields.github_token || undefined, remote, isOwn);
  const resolved = await resolveVersion(base, { remote, path, version }, credentials);
  const source: ImageSource = {
    kind: "git",
    remote,
    path,
    version: resolved.version,
    commit: resolved.commit,
  };
  return { source, context: null, git: resolved.credential };
}

async function open(
  c: Context<AppEnv>,
  { id, caller }: Request,
  fields: ImageFields,
  located: Located,
): Promise<BuildSummary> {
  const { context, git } = located;
  const source = located.source ?? contextSource(context);
  const target = targetOf(id, fields, source);
  const { username, password } = fields;
  const registry = username === "" && password === "" ? null : { username, password };
  const secrets = Object.entries(fields.secrets).map(([id, value]) => ({ id, value }));
  const credential: ImageCredential = { registry, git, secrets };
  const isEmpty = registry === null && git === null && secrets.length === 0;
  const sealed = isEmpty ? null : await seal(c.env, JSON.stringify(credential));
  const asked: BuildRequest = {
    key: imageTargetKey(target),
    target,
    pool: poolFor(readConfig(c.env), target.recipe, placeOf(target)),
    caller,
    credential: sealed,
    ...(context === null ? {} : { context }),
  };
  // Asked twice, it is still one build.
  const answer = await retrying(
    async (): Promise<EnsureAnswer> => c.env.BUILDS.getByName(id).ensure(id, asked),
  );
  if (answer.kind === "refused") throw refusedForNow(answer);
  return answer.build;
}

function contextSource(context: BuildContext | null): ImageSource {
  if (context === null) throw insufficient();
  return { kind: "context", size: context.size, sha256: context.sha256 };
}

/** What an operator's map of pools may name: the repository that is built from, else where the image goes. */
function placeOf(target: ImageTarget): string {
  const name = parseImageName(target.image);
  return imageRepository(target) ?? `${name?.registry}/${name?.repository}`;
}

/** Null for nothing at all. */
async function store(
  c: Context<AppEnv>,
  { id }: Request,
  chunks: Chunks,
): Promise<BuildContext | null> {
  const context = await putContext(c.env.ARTIFACTS, contextKey(id, randomHex(ID_BYTES)), chunks);
  if (context.size > 0) return context;
  await removeContext(c.env.ARTIFACTS, context);
  return null;
}

/** Runs `work`; when it fails, nobody will read the context. */
async function removing<T>(
  c: Context<AppEnv>,
  context: BuildContext | null,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (context !== null) await removeContext(c.env.ARTIFACTS, context);
    throw error;
  }
}

/** User and password for the registry, from our header. */
function registryLogin(header: string | undefined): { username?: string; password?: string } {
  if (header === undefined) return {};
  const pair =
    header.length > CREDENTIAL_CHARS
      ? null
      : decodeBasic(/^Basic +(\S+)$/i.exec(header)?.[1] ?? "");
  if (pair === null)
    throw new Problem(
      "bad_header",
      "Railhead-Registry-Authorization is Basic and user:password in base64.",
    );
  return { username: pair[0], password: pair[1] };
}

/** Build secrets by their ids, from our header: JSON in base64, since a header holds no line ends. */
function secretsIn(header: string | undefined): Record<string, string> {
  if (header === undefined) return {};
  try {
    const bytes = Uint8Array.from(atob(header), (character) => character.charCodeAt(0));
    return z.record(z.string(), z.string()).parse(JSON.parse(new TextDecoder().decode(bytes)));
  } catch {
    throw new Problem(
      "bad_header",
      "Railhead-Build-Secrets is a JSON object of strings, in base64.",
    );
  }
}
