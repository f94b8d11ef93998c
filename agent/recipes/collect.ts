/** Takes what a build left in its container to the agent's disk, as hostile input. */
import { mkdir, rm } from "node:fs/promises";
import { ARCHIVE_ENTRIES, ARTIFACT_BYTES } from "../../shared/limits.ts";
import type { RunHandle } from "../docker/contracts.ts";
import { ArchiveTooLarge, type Dropped, type Unpacked, unpack } from "../unpack.ts";
import { OUTPUT } from "../workspace.ts";
import { RecipeFailure } from "./contracts.ts";

/** Bytes that the engine's tar may take beside the files: headers, long names, padding. */
const TAR_OVERHEAD_BYTES = ARCHIVE_ENTRIES * 4096;
/** Names that a log line or a reason lists. */
const LISTED = 5;

export type Collected<T> = { files: Unpacked<T>[]; dropped: Dropped[] };

export type CollectOptions<T> = {
  /** Folder of the agent's disk; emptied before. */
  folder: string;
  /** Bytes of a file's start that `look` gets. */
  head_bytes: number;
  look: (head: Buffer) => T;
  /** What to do about too much of it: a sentence. */
  advice: string;
  signal: AbortSignal;
};

/**
 * Takes what lies in the container's output folder.
 * @throws RecipeFailure artifact_too_large
 */
export async function collectOutput<T>(
  handle: RunHandle,
  { folder, head_bytes, look, advice, signal }: CollectOptions<T>,
): Promise<Collected<T>> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true, mode: 0o700 });
  try {
    return await unpack(await handle.get(OUTPUT, ARTIFACT_BYTES + TAR_OVERHEAD_BYTES), {
      into: folder,
      strip: 1,
      max_bytes: ARTIFACT_BYTES,
      max_files: ARCHIVE_ENTRIES,
      head_bytes,
      look,
      signal,
    });
  } catch (error) {
    if (!(error instanceof ArchiveTooLarge)) throw error;
    throw new RecipeFailure("artifact_too_large", `${error.message}. ${advice}`);
  }
}

/** A few of them, and how many more there are. */
export function listed(items: readonly string[]): string {
  const more = items.length - LISTED;
  return `${items.slice(0, LISTED).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}

/** What was left out, for the log; null when nothing was. */
export function leftOut(dropped: readonly Dropped[]): string | null {
  if (dropped.length === 0) return null;
  return `Left out of the archive: ${listed(dropped.map(({ name, why }) => `${name} (${why})`))}.`;
}
