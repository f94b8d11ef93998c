/** From what a build left in its container to the files that are published. */
import { ARTIFACT_BYTES } from "../../shared/limits.ts";
import { type GoTarget, goArchiveName, goExecutableName } from "../../shared/recipes/go.ts";
import { digestFile, writeArchive } from "../archive.ts";
import type { RunHandle } from "../docker/contracts.ts";
import { type Collected as CollectedFiles, collectOutput, listed } from "./collect.ts";
import { type Made, RecipeFailure } from "./contracts.ts";
import { describe, type Executable, HEADER_BYTES, isFor, readHeader } from "./go-header.ts";

export type Collected = CollectedFiles<Executable | null>;

/**
 * What a build is good for. `fits`: it holds an executable for the target, or a library and no program.
 * `plain`: it holds none at all. `wrong`: only ones for other platforms. `empty`: nothing.
 */
export type Verdict = "fits" | "plain" | "wrong" | "empty";

/** Takes what the makefile or the default way left to `folder`. @throws RecipeFailure artifact_too_large */
export function collect(
  handle: RunHandle,
  folder: string,
  signal: AbortSignal,
): Promise<Collected> {
  const advice = "Have the makefile remove what is not to be published.";
  return collectOutput(handle, {
    folder,
    head_bytes: HEADER_BYTES,
    look: readHeader,
    advice,
    signal,
  });
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
