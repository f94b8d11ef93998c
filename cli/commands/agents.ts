/** `railhead agents …`: who builds, and acting on them. */
import type { AgentView } from "../../shared/identity.ts";
import type { AgentAction } from "../edge-client.ts";
import { type GlobalOptions, openEdge } from "../settings.ts";
import { duration, print, say, table } from "../terminal.ts";

export async function listAgents(options: GlobalOptions): Promise<void> {
  const agents = await (await openEdge(options)).agents();
  if (options.json) return print(JSON.stringify(agents));
  if (agents.length === 0) return say("There are no agents. Add one: railhead token create agent");
  print(
    table(
      ["NAME", "POOL", "STATUS", "RUNNING", "RECIPES", "LABELS", "VERSION", "LAST SEEN", "NOTE"],
      agents.map((agent) => row(agent, Date.now())),
    ),
  );
}

/** One agent as cells; `now` in milliseconds since the epoch. */
export function row(agent: AgentView, now: number): string[] {
  const labels = Object.entries(agent.labels).map(([name, value]) => `${name}=${value}`);
  const { cordoned, unwell } = agent;
  const notes = [
    agent.draining ? "draining" : "",
    cordoned === null || cordoned === unwell
      ? ""
      : `cordoned: ${cordoned.replace(/^cordoned */, "")}`,
    unwell === null ? "" : `unwell: ${unwell}`,
  ];
  return [
    agent.name,
    agent.pool,
    agent.status,
    `${agent.running.length}/${agent.capacity}`,
    agent.recipes.join(","),
    labels.join(","),
    agent.version ?? "-",
    lastSeen(agent, now),
    notes.filter((note) => note !== "").join("; "),
  ];
}

function lastSeen({ last_seen }: AgentView, now: number): string {
  return last_seen === null ? "never" : `${duration(Math.max(0, now - Date.parse(last_seen)))} ago`;
}

const DONE: Record<AgentAction, string> = {
  cordon: "gets no new work",
  uncordon: "gets work again",
  drain: "finishes what it runs, takes nothing new, and then ends",
  remove: "is removed: its key is worth nothing any more",
};

/** What an act comes to, to follow the agent's name; `now` in milliseconds since the epoch. */
export function outcome(action: AgentAction, agent: AgentView, now: number): string {
  if (action !== "uncordon" && action !== "drain") return DONE[action];
  if (agent.status !== "connected") {
    const then = action === "drain" ? "ends" : "gets work again";
    return `is not connected (last seen: ${lastSeen(agent, now)}) and ${then} when it is back`;
  }
  if (action === "uncordon" && agent.unwell !== null)
    return `gets work again when it is well; now ${agent.unwell}`;
  return DONE[action];
}

/** Acts on an agent by its id, or by its name where only one pool has it. */
export async function actOnAgent(
  action: AgentAction,
  agent: string,
  options: GlobalOptions & { reason?: string },
): Promise<void> {
  const after = await (await openEdge(options)).actOnAgent(agent, action, options.reason);
  if (options.json) print(JSON.stringify({ agent, action }));
  else say(`${agent} ${outcome(action, after, Date.now())}.`);
}
