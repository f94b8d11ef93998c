/** Published files over HTTP: whole, in part or unchanged, decided from the manifest, streamed from R2. */
import type { Context } from "hono";
import { Problem } from "../shared/problem.ts";
import { CHECKSUMS_FILE } from "../shared/recipes/go.ts";
import type { AppEnv } from "./app.ts";
import { getFile, headFile } from "./artifacts.ts";
import { decide, type Representation } from "./conditions.ts";
import type { BuildContext } from "./core/contracts.ts";
import type { Manifest, ManifestFile } from "./core/manifest.ts";
import { sha256 } from "./secrets.ts";

/** What a URL names is the same bytes for ever. */
export const PUBLIC_CACHING = { "cache-control": "public, max-age=31536000, immutable" };
/** What depends on who asks is kept by nobody. */
export const PRIVATE_CACHING = {
  "cache-control": "private, no-store",
  vary: "authorization",
};
const SHA256_SUFFIX = ".sha256";

/** A file that can be sent: how it is described, and where its bytes come from. */
type Content = Representation & {
  type: string;
  /** Whether the bytes are there, without reading them. */
  exists(): Promise<boolean>;
  /** The bytes of a part; null when they are gone. */
  read(offset: number, length: number): Promise<ReadableStream | string | null>;
};

/**
 * Answers a GET or HEAD of one name of a publication: a file, its `.sha256`, or `checksums.txt`.
 * Null when R2 has lost the file. Throws Problem `no_such_file`, `precondition_failed`, `range_not_satisfiable`.
 */
export async function serveFile(
  c: Context<AppEnv>,
  manifest: Manifest,
  name: string,
): Promise<Response | null> {
  const file = manifest.files.find((candidate) => candidate.name === name);
  const caching = manifest.visibility === "public" ? PUBLIC_CACHING : PRIVATE_CACHING;
  if (file !== undefined) return serve(c, caching, name, stored(c.env, manifest, file));
  const text = checksums(manifest, name);
  if (text !== null) return serve(c, caching, name, await generated(manifest, text));
  const names = manifest.files.map((candidate) => candidate.name).join(", ");
  throw new Problem(
    "no_such_file",
    `This build has no file ${name}. It has ${names}, ${CHECKSUMS_FILE}, and ${SHA256_SUFFIX} of each.`,
  );
}

/** Answers a GET of a build's context, for its attempt alone. Null when R2 has lost it. Throws as `serveFile`. */
export function serveContext(
  c: Context<AppEnv>,
  { key, size, sha256: hash }: BuildContext,
): Promise<Response | null> {
  return serve(c, PRIVATE_CACHING, "context.tar", {
    etag: `"${hash}"`,
    modified_at: 0,
    size,
    type: "application/octet-stream",
    ...bytesOf(c.env, key, size),
  });
}

function stored(env: Env, manifest: Manifest, file: ManifestFile): Content {
  return {
    etag: `"${file.sha256}"`,
    modified_at: Date.parse(manifest.created_at),
    size: file.size,
    type: file.content_type,
    ...bytesOf(env, file.key, file.size, file.etag),
  };
}

/** Bytes that lie at `key`; with `etag`, that very object alone. */
function bytesOf(
  env: Env,
  key: string,
  size: number,
  etag?: string,
): Pick<Content, "exists" | "read"> {
  return {
    exists: async () => (await headFile(env.ARTIFACTS, key)) !== null,
    read: async (offset, length) => {
      const object = await getFile(env.ARTIFACTS, key, {
        ...(length < size ? { range: { offset, length } } : {}),
        ...(etag === undefined ? {} : { onlyIf: new Headers({ "if-match": `"${etag}"` }) }),
      });
      return object !== null && "body" in object ? object.body : null;
    },
  };
}

async function generated(manifest: Manifest, text: string): Promise<Content> {
  return {
    etag: `"${await sha256(text)}"`,
    modified_at: Date.parse(manifest.created_at),
    size: text.length,
    type: "text/plain; charset=utf-8",
    exists: async () => true,
    read: async (offset, length) => text.slice(offset, offset + length),
  };
}

/** coreutils' format: hash, two blanks, name. Null for a name that is no checksum of this publication. */
function checksums(manifest: Manifest, name: string): string | null {
  const line = (file: ManifestFile) => `${file.sha256}  ${file.name}\n`;
  if (name === CHECKSUMS_FILE) return manifest.files.toSorted(byName).map(line).join("");
  const file = manifest.files.find((candidate) => `${candidate.name}${SHA256_SUFFIX}` === name);
  return file === undefined ? null : line(file);
}

function byName(a: ManifestFile, b: ManifestFile): number {
  return a.name < b.name ? -1 : 1;
}

async function serve(
  c: Context<AppEnv>,
  caching: Record<string, string>,
  name: string,
  content: Content,
): Promise<Response | null> {
  const { etag, size } = content;
  const headers = new Headers({
    etag,
    "last-modified": new Date(content.modified_at).toUTCString(),
    "accept-ranges": "bytes",
    ...caching,
  });
  const decision = decide(c.req.method, c.req.raw.headers, content);
  if (decision.status === 304) return new Response(null, { status: 304, headers });
  if (decision.status === 412)
    throw new Problem("precondition_failed", "The file is not the one that the condition names.", {
      headers: { etag },
    });
  if (decision.status === 416)
    throw new Problem("range_not_satisfiable", `The file has ${size} bytes.`, {
      headers: { "content-range": `bytes */${size}` },
    });

  headers.set("content-type", content.type);
  headers.set("content-disposition", attachment(name));
  const { offset, length } = decision.status === 206 ? decision : { offset: 0, length: size };
  headers.set("content-length", String(length));
  if (decision.status === 206)
    headers.set("content-range", `bytes ${offset}-${offset + length - 1}/${size}`);
  if (c.req.method === "HEAD")
    return (await content.exists()) ? new Response(null, { headers }) : null;
  const body = await content.read(offset, length);
  return body === null ? null : new Response(body, { status: decision.status, headers });
}

/** RFC 6266: the name as a quoted string (RFC 9110 section 5.6.4). Names of artifacts are ASCII by schema. */
function attachment(name: string): string {
  return `attachment; filename="${name.replaceAll(/["\\]/g, "\\$&")}"`;
}
