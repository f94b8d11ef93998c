/** `railhead version`. */
import * as z from "zod";
import { type GlobalOptions, openEdge } from "../settings.ts";
import { print } from "../terminal.ts";
import { VERSION } from "../version.ts";

const edgeVersionSchema = z.looseObject({ version: z.string() });

/** Prints our version, and the edge's where one is named and answers. */
export async function version(options: GlobalOptions): Promise<void> {
  const edge = await edgeVersion(options).catch(() => null);
  if (options.json) return print(JSON.stringify({ version: VERSION, edge }));
  print(`railhead ${VERSION}`);
  if (edge !== null) print(`edge ${edge}`);
}

async function edgeVersion(options: GlobalOptions): Promise<string | null> {
  const response = await (await openEdge(options)).request("GET", "/version");
  return edgeVersionSchema.parse(await response.json()).version;
}
