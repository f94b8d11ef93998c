/** Files of the user's that a command writes. */
import { access, constants, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { CliError, messageOf, systemCode } from "./errors.ts";

const REASONS: Record<string, string> = {
  ENOENT: "no such folder",
  ENOTDIR: "no such folder",
  EISDIR: "it is a folder",
  EEXIST: "it is there already",
  EACCES: "no permission",
  EPERM: "no permission",
  EROFS: "the file system is read-only",
  ENOSPC: "the disk is full",
  EDQUOT: "your quota of disk space is used up",
};

/** The error that says why `file` cannot be written. */
export function cannotWrite(file: string, error: unknown): CliError {
  return new CliError(
    `cannot write ${file}: ${REASONS[systemCode(error) ?? ""] ?? messageOf(error)}`,
  );
}

/** Throws CliError when no file can be made or replaced at `file`. */
export async function checkWritable(file: string): Promise<void> {
  const found = await stat(file).catch(() => null);
  if (found?.isDirectory()) throw new CliError(`cannot write ${file}: ${REASONS.EISDIR}`);
  await access(dirname(file), constants.W_OK | constants.X_OK).catch((error: unknown) => {
    throw cannotWrite(file, error);
  });
}
