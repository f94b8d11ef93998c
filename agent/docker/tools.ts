/** Programs of the host that the agent runs, always by argument list and never through a shell. */
import { execFile } from "node:child_process";
import { access, constants } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { DockerError } from "./contracts.ts";

const run = promisify(execFile);

/** Milliseconds that a program may take. */
const TOOL_MS = 120_000;
/** Where administrators' programs are when PATH does not say so. */
const SYSTEM_FOLDERS = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

function searchPath(): string {
  return [process.env.PATH ?? "/usr/bin:/bin", ...SYSTEM_FOLDERS].join(delimiter);
}

type ToolOptions = {
  /** Bytes for its stdin. */
  input?: string;
  /** `printed`: what it printed is of use even when it failed. */
  failing?: "printed";
};

/**
 * @returns what the program printed
 * @throws DockerError `unavailable` with the program's own words
 */
export async function tool(
  name: string,
  args: string[],
  { input = "", failing }: ToolOptions = {},
): Promise<string> {
  try {
    const running = run(name, args, {
      timeout: TOOL_MS,
      maxBuffer: 16 * 1024 ** 2,
      env: { ...process.env, PATH: searchPath(), LC_ALL: "C" },
    });
    running.child.stdin?.on("error", () => {});
    running.child.stdin?.end(input);
    return (await running).stdout;
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string };
    if (failing === "printed" && stdout) return stdout;
    const said = stderr?.trim() || String(error);
    throw new DockerError("unavailable", `${name} failed: ${said}`);
  }
}

/** True when all of the programs can be run. */
export async function haveTools(...names: string[]): Promise<boolean> {
  const found = await Promise.all(names.map(haveTool));
  return found.every(Boolean);
}

async function haveTool(name: string): Promise<boolean> {
  for (const folder of searchPath().split(delimiter)) {
    if (await allowed(join(folder, name), constants.X_OK)) return true;
  }
  return false;
}

/** True when `path` is there and may be used in that way (`fs.constants`). */
export async function allowed(path: string, mode: number): Promise<boolean> {
  return access(path, mode).then(
    () => true,
    () => false,
  );
}

export function isRoot(): boolean {
  return process.getuid?.() === 0;
}
