/** From what a build left in its container to the files that are published. */
import { mkdir, rm } from "node:fs/promises";
import { ARCHIVE_ENTRIES, ARTIFACT_BYTES } from "../../shared/limits.ts";
import { type GoTarget, goArchiveName, goExecutableName } from "../../shared/recipes/go.ts";
import { digestFile, writeArchive } from "../archive.ts";
import type { RunHandle } from "../docker/contracts.ts";
import { ArchiveTooLarge, type Dropped, type Unpacked, unpack } from "../unpack.ts";
import { OUTPUT } from "../workspace.ts";
import { type Made, RecipeFailure } from "./contracts.ts";
import { describe, type Executable, HEADER_BYTES, isFor, readHeader } from "./go-header.ts";

/** Bytes that the engine's tar may take beside the files: headers, long names, padding. */
const TAR_OVERHEAD_BYTES = ARCHIVE_ENTRIES * 4096;
/** Names that a log line or a reason lists. */
const LISTED = 5;

export type Collected = {
  files: Unpacked<Executable | null>[];
  dropped: Dropped[];
};

/**
 * What a build is good for. `fits`: it holds an executable for the target, or a library and no program.
 * `plain`: it holds none at all. `wrong`: only ones for other platforms. `empty`: nothing.
 */
export type Verdict = "fits" | "plain" | "wrong" | "empty";

/**
 * Takes what lies in the container's output folder to `folder`, which is emptied before.
 * @throws RecipeFailure artifact_too_large
 */
export async function collect(
  handle: RunHandle,
  folder: string,
  signal: AbortSignal,
): Promise<Collected> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true, mode: 0o700 });
  try {
    return await unpack(await handle.get(OUTPUT, ARTIFACT_BYTES + TAR_OVERHEAD_BYTES), {
      into: folder,
      strip: 1,
      max_bytes: ARTIFACT_BYTES,
      max_files: ARCHIVE_ENTRIES,
      head_bytes: HEADER_BYTES,
      look: readHeader,
      signal,
    });
  } catch (error) {
    if (!(error instanceof ArchiveTooLarge)) throw error;
    throw new RecipeFailure(
      "artifact_too_large",
      `${error.message}. Have the makefile remove what is not to be published.`,
    );
  }
}

export function judge({ files }: Collected, target: Pick<GoTarget, "goos" | "goarch">): Verdict {
  if (files.length === 0) return "empty";
  const executables = files.filter((file) => file.seen !== null);
  if (executables.length === 0) return "plain";
  return executables.some(({ seen }) => seen && isFor(seen, target.goos, target.goarch))
    ? "fits"
    : "wrong";
}

/** `bin/tool is for linux/amd64, …`: the executables that are not for the target; empty when all are. */
export function strangers({ files }: Collected, target: Pick<GoTarget, "goos" | "goarch">): string {
  const found = files.flatMap(({ name, seen }) =>
    seen && !isFor(seen, target.goos, target.goarch) ? [`${name} is for ${describe(seen)}`] : [],
  );
  return listed(found);
}

/** A few of them, and how many more there are. */
export function listed(items: readonly string[]): string {
  const more = items.length - LISTED;
  return `${items.slice(0, LISTED).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}

/**
 * Writes the archive to `file`, and names the program itself beside it when the build made exactly one for the target.
 * @param time seconds since the epoch, of every file in the archive
 */
export async function publishable(
  { files }: Collected,
  target: GoTarget,
  file: string,
  time: number,
  signal: AbortSignal,
): Promise<Made[]> {
  const name = goArchiveName(target);
  const archive = await writeArchive(files, file, time, signal);
  if (archive.size > ARTIFACT_BYTES)
    throw new RecipeFailure("artifact_too_large", `${name} has more than ${ARTIFACT_BYTES} bytes.`);
  const made: Made[] = [{ name, file, ...archive, content_type: "application/gzip" }];
  const programs = files.filter(
    ({ seen }) => seen?.kind === "program" && isFor(seen, target.goos, target.goarch),
  );
  const [program] = programs;
  if (program !== undefined && programs.length === 1)
    made.push({
      name: goExecutableName(target),
      file: program.file,
      ...(await digestFile(program.file)),
      content_type:
        program.seen?.format === "wasm" ? "application/wasm" : "application/octet-stream",
    });
  return made;
}
