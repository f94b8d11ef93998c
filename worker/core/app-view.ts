/** How a project is shown. */
import type { Deployment, ProjectView, ReplicaView } from "../../shared/apps.ts";
import { appImageTag } from "../../shared/recipes/app.ts";
import { namedHosts, parseRule, RuleError } from "../../shared/rules/index.ts";
import { isKept } from "./app-line.ts";
import type { AppSockets } from "./app-ports.ts";
import type { AppRows, DeploymentRow, ReplicaRow } from "./app-rows.ts";

/** Null when there is no project. */
export function viewOf(rows: AppRows, sockets: Pick<AppSockets, "isOpen">): ProjectView | null {
  const project = rows.project();
  if (project === null) return null;
  const deployments = rows.deployments();
  const current = deployments.find(({ generation }) => generation === project.current) ?? null;
  const newest = deployments[0];
  const replicas = rows.replicas().map((row) => replicaOf(row, sockets));
  const serving = replicas.filter(
    ({ generation, state }) => generation === project.current && isServing(state),
  );
  const agents = [...new Set(serving.flatMap(({ agent }) => agent ?? []))];
  const rule = (current ?? newest)?.rule ?? "";
  return {
    project: project.name,
    rule,
    state: stateOf(current, newest, serving.length),
    url: urlOf(rule),
    agent: agents[0] ?? null,
    agents,
    since: current?.live_at == null ? null : time(current.live_at),
    image: current && appImageTag(current.fingerprint),
    current: project.current,
    env: rows.env().map(({ name }) => name),
    replicas,
    deployments: deployments.map(deploymentOf),
  };
}

function stateOf(
  current: DeploymentRow | null,
  newest: DeploymentRow | undefined,
  serving: number,
): ProjectView["state"] {
  if (current !== null) return serving > 0 ? "live" : "down";
  if (newest === undefined) return "new";
  return newest.state === "deploying" || newest.state === "waiting" ? "deploying" : "failed";
}

/** Where a browser finds it: the first host that the rule names outright. */
function urlOf(rule: string): string | null {
  const [host] = rule === "" ? [] : hostsOf(rule);
  return host === undefined ? null : `https://${host}/`;
}

/** None for a rule that was taken once and would be refused by now. */
function hostsOf(rule: string): string[] {
  try {
    return [...(namedHosts(parseRule(rule).condition) ?? [])];
  } catch (error) {
    if (error instanceof RuleError) return [];
    throw error;
  }
}

function replicaOf(row: ReplicaRow, sockets: Pick<AppSockets, "isOpen">): ReplicaView {
  const { generation, replica, name, restarts, build, reason } = row;
  const shown = sockets.isOpen(build)
    ? row.state
    : row.stage === "live"
      ? "disconnected"
      : "building";
  return {
    generation,
    replica,
    agent: name,
    state: shown,
    restarts,
    build_id: build,
    ...(reason !== null && { reason }),
  };
}

function isServing(state: ReplicaView["state"]): boolean {
  return state !== "disconnected" && state !== "building";
}

function deploymentOf(row: DeploymentRow): Deployment {
  const { generation, state, build, rule, settings, rollback_of, reason } = row;
  return {
    generation,
    state,
    build_id: build,
    rule,
    settings,
    rollback_of,
    kept: isKept(row),
    reason,
    created_at: time(row.created_at),
    live_at: row.live_at === null ? null : time(row.live_at),
    ended_at: row.ended_at === null ? null : time(row.ended_at),
  };
}

function time(ms: number): string {
  return new Date(ms).toISOString();
}
