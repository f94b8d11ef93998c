/** `list`: the projects of an edge, or the deployments of one. */
import type { Deployment, ProjectRow, ProjectView, ReplicaView } from "../../shared/apps.ts";
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

export async function listDeployments(project: string, options: AppOptions): Promise<void> {
  const { client } = await openApps(options);
  const view = await client.project(project);
  if (options.json) return print(JSON.stringify(view));
  const now = Date.now();
  const rows = view.deployments.map((deployment) => deploymentCells(deployment, view, now));
  print(table(["GENERATION", "STATE", "ASKED FOR", "NOTE"], rows));
}

/** As peroku printed it; a name that fills its columns still ends before the rule. */
export function perokRow({ project, rule }: Pick<ProjectRow, "project" | "rule">): string {
  return `${project.padEnd(NAME_COLUMNS - 1)} ${rule}`;
}

function cells({ project, state, since, agents, url, rule }: ProjectRow, now: number): string[] {
  return [
    project,
    state,
    since === null ? "-" : ago(since, now),
    agents.join(",") || "-",
    url ?? "-",
    rule || "-",
  ];
}

function deploymentCells(deployment: Deployment, view: ProjectView, now: number): string[] {
  const { generation, state, created_at } = deployment;
  return [String(generation), state, ago(created_at, now), deploymentNote(deployment, view)];
}

/** What else there is to say of a deployment of that project; empty for nothing. */
export function deploymentNote(
  {
    generation,
    rollback_of,
    kept,
    reason,
  }: Pick<Deployment, "generation" | "rollback_of" | "kept" | "reason">,
  { current, replicas }: Pick<ProjectView, "current" | "replicas">,
): string {
  const lost = replicas.filter(
    (one) => one.generation === generation && one.state === "disconnected",
  );
  const notes = [
    rollback_of === null ? [] : `generation ${rollback_of} again`,
    kept && generation !== current ? "may be gone back to" : [],
    reason === null ? [] : firstLine(reason),
    lost.map(lostNote),
  ];
  return notes.flat().join("; ");
}

function lostNote({ replica, agent, reason }: ReplicaView): string {
  const lost = `replica ${replica} on ${agent} is not connected`;
  return reason === undefined ? lost : `${lost}, and making it anew failed: ${firstLine(reason)}`;
}

/** Behind it are the app's own last words. */
function firstLine(reason: string): string {
  return reason.split("\n")[0] ?? "";
}

function ago(time: string, now: number): string {
  return `${duration(Math.max(0, now - Date.parse(time)))} ago`;
}
