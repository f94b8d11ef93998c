/** `railhead get`: downloads an artifact, goes on where a cut left it, and checks it before it is there. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { goPath } from "../../shared/recipes/go.ts";
import type { EdgeClient } from "../edge-client.ts";
import { CliError, EdgeRefusal, EXIT, messageOf } from "../errors.ts";
import { cannotWrite, checkWritable } from "../local-files.ts";
import { type GlobalOptions, openEdge } from "../settings.ts";
import { parseTarget } from "../target.ts";
import { print, StatusLine, say, size } from "../terminal.ts";

export type GetOptions = GlobalOptions & { output?: string };

/** The file behind a target, as its HEAD tells it. */
type Remote = { url: string; name: string; size: number; etag: string };

/** Cuts in a row without a single new byte after which we give up. */
const MAX_CUTS = 6;
const FIRST_PAUSE_MS = 250;

/** Leaves the whole, verified file, or nothing but what a later run goes on from. */
export async function get(text: string, options: GetOptions): Promise<void> {
  const asked = parseTarget(text);
  const client = await openEdge(options, asked.origin);
  const remote = await locate(client, asked.path).catch((error: unknown) => {
    if (error instanceof EdgeRefusal && error.code === "not_built")
      throw new CliError(
        `${error.message}, or with: railhead build ${goPath(asked.request).slice(1)}`,
        EXIT.refused,
      );
    throw error;
  });
  await save(client, remote, options);
}

/** The same for a file of a build, by its URL. */
export async function getUrl(client: EdgeClient, url: string, options: GetOptions): Promise<void> {
  await save(client, await locate(client, url), options);
}

async function save(client: EdgeClient, remote: Remote, options: GetOptions): Promise<void> {
  const expected = await publishedHash(client, remote);
  if (options.output === "-") return await toStdout(client, remote, expected);

  const file = resolve(options.output ?? remote.name);
  await checkWritable(file);
  // Named by content, so that the rest of another version is never appended.
  const part = join(dirname(file), `.${basename(file)}.${expected.slice(0, 16)}.part`);
  await download(client, remote, part);
  const actual = await hashOf(part);
  if (actual !== expected) {
    await rm(part);
    throw new CliError(
      `The bytes that came do not match the published SHA-256 (${expected}); they were thrown away. Try again.`,
    );
  }
  await rename(part, file).catch((error: unknown) => {
    throw cannotWrite(file, error);
  });
  if (options.json)
    print(JSON.stringify({ file, size: remote.size, sha256: expected, url: remote.url }));
  else say(`${file}: ${size(remote.size)}, SHA-256 verified`);
}

/** Follows the redirects to the exact file. */
async function locate(client: EdgeClient, path: string): Promise<Remote> {
  const response = await client.request("HEAD", path).catch((error: unknown) => {
    // The answer to HEAD has no body that would say why.
    if (error instanceof EdgeRefusal) return client.request("GET", path);
    throw error;
  });
  const length = Number(response.headers.get("content-length") ?? Number.NaN);
  const etag = response.headers.get("etag");
  const name = decodeURIComponent(new URL(response.url).pathname.split("/").at(-1) ?? "");
  if (!Number.isInteger(length) || etag === null || !/^[A-Za-z0-9_][\w.+-]*$/.test(name))
    throw new CliError(
      `${client.url} did not answer as Railhead does. Is the address right?`,
      EXIT.unreachable,
    );
  return { url: response.url, name, size: length, etag };
}

async function publishedHash(client: EdgeClient, remote: Remote): Promise<string> {
  const url = new URL(remote.url);
  url.pathname += ".sha256";
  const text = await (await client.request("GET", url.href)).text();
  const hash = /^[0-9a-f]{64}(?=\s|$)/.exec(text)?.[0];
  if (hash === undefined) throw new CliError(`${url.href} holds no SHA-256.`, EXIT.unreachable);
  return hash;
}

/** Fills `part` up to the file's size. */
async function download(client: EdgeClient, remote: Remote, part: string): Promise<void> {
  const status = new StatusLine();
  let cuts = 0;
  let have = await sizeOf(part);
  if (have > remote.size) {
    await rm(part);
    have = 0;
  }
  while (have < remote.size) {
    const before = have;
    try {
      have = await continueAt(client, remote, part, have, (bytes) =>
        status.set(`${remote.name}: ${size(bytes)} of ${size(remote.size)}`),
      );
    } catch (error) {
      if (error instanceof CliError && error.status !== EXIT.unreachable) throw error;
      have = await sizeOf(part);
      cuts = have > before ? 1 : cuts + 1;
      if (cuts > MAX_CUTS) throw unfinished(error, part, have, remote);
      await sleep(FIRST_PAUSE_MS * 2 ** (cuts - 1));
    } finally {
      status.end();
    }
  }
}

function unfinished(error: unknown, part: string, have: number, remote: Remote): CliError {
  return new CliError(
    `The download was cut at ${size(have)} of ${size(remote.size)} (${messageOf(error)}). Run it again: it goes on from ${part}.`,
    EXIT.unreachable,
  );
}

/** Appends what comes to `part`; answers its new size. */
async function continueAt(
  client: EdgeClient,
  remote: Remote,
  part: string,
  from: number,
  progress: (bytes: number) => void,
): Promise<number> {
  const response = await client.request("GET", remote.url, {
    headers: from === 0 ? {} : { range: `bytes=${from}-`, "if-range": remote.etag },
  });
  const whole = response.status !== 206;
  if (whole && response.headers.get("etag") !== remote.etag) {
    await response.body?.cancel();
    throw new CliError("The file was published anew meanwhile. Run it again.");
  }
  const blocked = (error: unknown) => {
    throw cannotWrite(part, error);
  };
  const file = await open(part, whole ? "w" : "a", 0o644).catch(blocked);
  let have = whole ? 0 : from;
  try {
    for await (const chunk of response.body ?? []) {
      await file.writeFile(chunk).catch(blocked);
      have += chunk.byteLength;
      progress(have);
    }
  } finally {
    await file.close();
  }
  return have;
}

async function toStdout(client: EdgeClient, remote: Remote, expected: string): Promise<void> {
  const hash = createHash("sha256");
  const response = await client.request("GET", remote.url);
  for await (const chunk of response.body ?? []) {
    hash.update(chunk);
    if (!process.stdout.write(chunk))
      await new Promise((resolve) => process.stdout.once("drain", resolve));
  }
  if (hash.digest("hex") !== expected)
    throw new CliError("The bytes that came do not match the published SHA-256: do not use them.");
}

async function sizeOf(file: string): Promise<number> {
  const found = await stat(file).catch(() => null);
  return found?.size ?? 0;
}

async function hashOf(file: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(file)) hash.update(chunk);
  return hash.digest("hex");
}
