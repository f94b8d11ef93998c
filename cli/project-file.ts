/** `.peroku.json`: what a folder is deployed as, and where to. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { nearest } from "../shared/nearest.ts";
import { CliError, EXIT, messageOf, systemCode } from "./errors.ts";
import { baseUrl } from "./settings.ts";
import { say } from "./terminal.ts";

export const PROJECT_FILE = ".peroku.json";

const UNITS: Record<string, number> = { "": 1, b: 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 };

/** Members that peroku knew, then ours. What is out of range the edge says. */
const projectFileSchema = z
  .object({
    token: z.string().regex(/^\S+$/, "must be a token"),
    /** Host of the edge; https where no scheme is given, as with peroku. */
    peroku: z
      .string()
      .transform((host) => baseUrl(host.includes("://") ? host : `https://${host}`)),
    project: z.string(),
    rule: z.string(),
    port: z.number(),
    replicas: z.number(),
    /** Bytes, or as docker writes them: `512m`. */
    memory: z.union([z.number(), z.string()]).transform(bytesOf),
    cpus: z.number(),
    health: z.object({ path: z.string(), seconds: z.number() }).partial(),
    dockerfile: z.string(),
  })
  .partial();
export type ProjectFile = z.infer<typeof projectFileSchema>;

/** That of `folder`; without one, a file that says nothing. Throws CliError (usage). */
export async function readProjectFile(folder: string): Promise<ProjectFile> {
  const path = join(folder, PROJECT_FILE);
  let json: unknown;
  try {
    json = JSON.parse(await readFile(path, "utf8"));
  } catch (error) {
    if (systemCode(error) === "ENOENT") return {};
    // The parser's own message quotes the file, and the token with it.
    const why = error instanceof SyntaxError ? "it is no JSON" : messageOf(error);
    throw new CliError(`${path} cannot be read: ${why}.`, EXIT.usage);
  }
  const read = projectFileSchema.safeParse(json);
  if (!read.success) {
    const { path: at, message } = read.error.issues[0] ?? { path: [], message: "it is not valid" };
    throw new CliError(
      at.length === 0 ? `${path}: ${message}` : `${path}: "${at.join(".")}": ${message}`,
      EXIT.usage,
    );
  }
  warnOfUnknown(path, Object.keys(json as object), Object.keys(projectFileSchema.shape));
  return read.data;
}

/** What a file says of how the app runs, as `POST /run` takes it. */
export function settingsOf(file: ProjectFile): [name: string, value: string][] {
  const settings = {
    port: file.port,
    replicas: file.replicas,
    memory_bytes: file.memory,
    cpus: file.cpus,
    health_path: file.health?.path,
    health_seconds: file.health?.seconds,
  };
  return Object.entries(settings).flatMap(([name, value]): [string, string][] =>
    value === undefined ? [] : [[name, String(value)]],
  );
}

function bytesOf(text: string | number, context: z.RefinementCtx): number {
  const [, count, unit = ""] = /^(\d+(?:\.\d+)?) ?([bkmg]?)(?:i?b)?$/i.exec(String(text)) ?? [];
  if (count !== undefined) return Math.round(Number(count) * (UNITS[unit.toLowerCase()] ?? 1));
  context.addIssue({ code: "custom", message: "must be bytes, or an amount such as 512m" });
  return z.NEVER;
}

/** A later version of the file may know more: it is no error. A typing error must not pass in silence either. */
function warnOfUnknown(path: string, given: string[], known: string[]): void {
  for (const name of given.filter((one) => !known.includes(one)))
    say(`${path}: "${name}" means nothing here; did you mean "${nearest(name, known, 1)[0]}"?`);
}
