/** A folder as a build context: what .dockerignore leaves of it, as a tar.gz that is written while it is sent. */
import { createReadStream, type Stats } from "node:fs";
import { lstat, readdir, readFile, readlink, stat } from "node:fs/promises";
import { join, relative, resolve, sep } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import dockerignore, { type Ignore } from "@balena/dockerignore";
import tar from "tar-stream";
import { CONTEXT_BYTES } from "../shared/limits.ts";
import { CliError, EXIT, messageOf, systemCode } from "./errors.ts";
import { StatusLine, size } from "./terminal.ts";

const IGNORE_FILE = ".dockerignore";
const PERMISSIONS = 0o7777;

export type ContextFile = {
  /** Relative to the folder, with forward slashes. */
  name: string;
  path: string;
  stats: Stats;
};

/** Throws CliError (usage) when it is not one. */
export async function requireFolder(path: string): Promise<void> {
  const found = await stat(path).catch(() => null);
  if (found?.isDirectory() !== true) throw new CliError(`${path} is no folder.`, EXIT.usage);
}

/**
 * Where a Dockerfile (as given, from the current folder) is in the context. Throws CliError (usage) when it is
 * not there, or outside.
 */
export async function locateDockerfile(
  folder: string,
  given: string | undefined,
  hint = "Name the Dockerfile with --file.",
): Promise<string> {
  const path = given === undefined ? join(folder, "Dockerfile") : resolve(given);
  const name = relative(folder, path).split(sep).join("/");
  const found = await lstat(path).catch(() => null);
  if (found === null) throw new CliError(`There is no ${path}. ${hint}`, EXIT.usage);
  if (name === "" || name.split("/")[0] === "..")
    throw new CliError(
      `${given} lies outside of ${folder}: it must be part of the context.`,
      EXIT.usage,
    );
  return name;
}

/**
 * What of the folder is sent, in a stable order. The Dockerfile and .dockerignore always are, as with docker; what is
 * called as one of `never` is not, at any depth.
 */
export async function listContext(
  folder: string,
  dockerfile: string,
  never: readonly string[] = [],
): Promise<ContextFile[]> {
  const rules = await readRules(folder);
  const files: ContextFile[] = [];
  const walk = async (parent: string): Promise<void> => {
    const names = await readdir(join(folder, parent)).catch((error: unknown) => {
      throw unreadable(join(folder, parent), error);
    });
    for (const child of names.sort()) {
      if (never.includes(child)) continue;
      const name = parent === "" ? child : `${parent}/${child}`;
      const path = join(folder, name);
      const stats = await lstat(path);
      const always = name === dockerfile || name === IGNORE_FILE;
      const sent = always || !rules.ignore.ignores(name);
      const sendable = stats.isFile() || stats.isDirectory() || stats.isSymbolicLink();
      if (sent && sendable) files.push({ name, path, stats });
      // Something below may be excepted from what ignores the folder.
      const mayHold = sent || rules.hasExceptions || dockerfile.startsWith(`${name}/`);
      if (stats.isDirectory() && mayHold) await walk(name);
    }
  };
  await walk("");
  return files;
}

async function readRules(folder: string): Promise<{ ignore: Ignore; hasExceptions: boolean }> {
  const text = await readFile(join(folder, IGNORE_FILE), "utf8").catch((error: unknown) => {
    if (systemCode(error) === "ENOENT") return "";
    throw unreadable(join(folder, IGNORE_FILE), error);
  });
  const hasExceptions = text.split("\n").some((line) => line.trim().startsWith("!"));
  return { ignore: dockerignore().add(text), hasExceptions };
}

/** Sends files as a tar.gz by `post`; on a terminal with how far it is. */
export async function sendContext<T>(
  folder: string,
  files: readonly ContextFile[],
  post: (body: ReadableStream<Uint8Array>) => Promise<T>,
): Promise<T> {
  const status = new StatusLine();
  let sent = 0;
  const body = packContext(files, (bytes) => {
    sent = bytes;
    status.set(`… sending the context, ${size(bytes)}`);
  });
  try {
    const answer = await post(body);
    status.say(
      `Sent ${files.length} ${files.length === 1 ? "entry" : "entries"} of ${folder}, ${size(sent)}.`,
    );
    return answer;
  } finally {
    status.end();
  }
}

/** The tar.gz, of at most `limit` bytes. `progress` is told of the bytes so far; a failure ends the stream as CliError. */
export function packContext(
  files: readonly ContextFile[],
  progress: (bytes: number) => void,
  limit = CONTEXT_BYTES,
): ReadableStream<Uint8Array> {
  const pack = tar.pack();
  const filling = fill(pack, files);
  filling.catch((error: Error) => pack.destroy(error));
  const gzip = createGzip();
  const packing = pipeline(pack, gzip);
  packing.catch(() => {}); // whoever reads meets the same error
  return Readable.toWeb(
    Readable.from(counted(blamed(gzip, filling))),
  ) as ReadableStream<Uint8Array>;

  async function* counted(chunks: AsyncIterable<Buffer>) {
    let sent = 0;
    for await (const chunk of chunks) {
      sent += chunk.length;
      if (sent > limit) throw tooLarge(limit);
      progress(sent);
      yield chunk;
    }
  }
}

/** What fills a tar knows more of an error than the tar, in which a file was cut off. */
async function* blamed(chunks: AsyncIterable<Buffer>, filling: Promise<void>) {
  try {
    yield* chunks;
  } catch (error) {
    await filling;
    throw error;
  }
}

async function fill(pack: tar.Pack, files: readonly ContextFile[]): Promise<void> {
  for (const { name, path, stats } of files) {
    const header = { name, mode: stats.mode & PERMISSIONS, mtime: stats.mtime, uid: 0, gid: 0 };
    if (stats.isDirectory()) pack.entry({ ...header, type: "directory" });
    else if (stats.isSymbolicLink())
      pack.entry({ ...header, type: "symlink", linkname: await readlink(path) });
    else
      await pipeline(
        createReadStream(path),
        pack.entry({ ...header, type: "file", size: stats.size }),
      ).catch((error: unknown) => {
        throw unreadable(path, error);
      });
  }
  pack.finalize();
}

function unreadable(path: string, error: unknown): CliError {
  return new CliError(`${path} cannot be read into the context: ${messageOf(error)}`);
}

function tooLarge(limit: number): CliError {
  return new CliError(
    `The context is larger than ${size(limit)}. Name what the build does not need in ${IGNORE_FILE}.`,
  );
}
