/** Builds of a makefile without any Go: quick, since there is nothing to compile. */
import { randomBytes } from "node:crypto";
import type { RepositoryFile } from "../../cli/dev/repository.ts";
import type { FaultWorld } from "./world.ts";

type Files = Readonly<Record<string, RepositoryFile>>;

/** A makefile that runs these lines, each in a shell of its own. */
export function makefile(script: string): Files {
  const lines = script.trim().split("\n");
  return { Makefile: `all:\n${lines.map((line) => `\t${line.trim()}\n`).join("")}` };
}

/** The path of a new repository with these files. */
export async function pathOf({ stack }: FaultWorld, files: Files): Promise<string> {
  const repository = `eve/${randomBytes(4).toString("hex")}`;
  await stack.commit(repository, [{ files, tag: "v1.0.0" }]);
  return `/git.example/${repository}/linux/amd64/v1.0.0`;
}
