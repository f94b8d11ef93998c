/** `list`: the projects of an edge. */
import type { ProjectRow } from "../../shared/apps.ts";
import { type AppOptions, openApps } from "../app-settings.ts";
import { duration, print, table } from "../terminal.ts";

/** Columns that peroku gave a project's name. */
const NAME_COLUMNS = 20;

export async function list(options: AppOptions): Promise<void> {
  const { client } = await openApps(options);
  const rows = await client.list();
  if (options.json) return print(JSON.stringify(rows));
  if (options.program === "perok") return rows.map(perokRow).forEach(print);
  const now = Date.now();
  const headings = ["PROJECT", "STATE", "SINCE", "AGENTS", "URL", "RULE"];
  print(
    table(
      headings,
      rows.map((row) => cells(row, now)),
    ),
  );
}

/** As peroku printed it; a name that fills its columns still ends before the rule. */
export function perokRow({ project, rule }: Pick<ProjectRow, "project" | "rule">): string {
  return `${project.padEnd(NAME_COLUMNS - 1)} ${rule}`;
}

function cells({ project, state, since, agents, url, rule }: ProjectRow, now: number): string[] {
  const age = since === null ? "-" : `${duration(Math.max(0, now - Date.parse(since)))} ago`;
  return [project, state, age, agents.join(",") || "-", url ?? "-", rule];
}
