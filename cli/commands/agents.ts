/** `railhead agents …`: who builds, and acting on them. */
import type { AgentView } from "../../shared/identity.ts";
import type { AgentAction } from "../edge-client.ts";
import { CliError } from "../errors.ts";
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
  const notes = [
    agent.draining ? "draining" : "",
    agent.cordoned === null ? "" : `cordoned${agent.cordoned === "" ? "" : `: ${agent.cordoned}`}`,
  ];
  const seen = agent.last_seen === null ? Number.NaN : Date.parse(agent.last_seen);
  return [
    agent.name,
    agent.pool,
    agent.status,
    `${agent.running.length}/${agent.capacity}`,
    agent.recipes.join(","),
    labels.join(","),
    agent.version ?? "-",
    Number.isNaN(seen) ? "never" : `${duration(Math.max(0, now - seen))} ago`,
    notes.filter((note) => note !== "").join("; "),
  ];
}

const DONE: Record<AgentAction, string> = {
  cordon: "gets no new work",
  uncordon: "gets work again",
  drain: "finishes what it runs, takes nothing new, and then ends",
  remove: "is removed: its key is worth nothing any more",
};

/** Acts on an agent by its name or id. */
export async function actOnAgent(
  action: AgentAction,
  name: string,
  options: GlobalOptions & { reason?: string },
): Promise<void> {
  const client = await openEdge(options);
  const agents = await client.agents();
  const [agent, ...more] = agents.filter((one) => one.agent === name || one.name === name);
  if (agent === undefined)
    throw new CliError(
      `There is no agent ${name}. There are: ${agents.map((one) => one.name).join(", ") || "none"}.`,
    );
  if (more.length > 0)
    throw new CliError(
      `Several pools have an agent ${name}. Name one by its id: ${[agent, ...more].map((one) => one.agent).join(", ")}.`,
    );
  await client.actOnAgent(agent.agent, action, options.reason);
  if (options.json) print(JSON.stringify({ agent: agent.agent, name: agent.name, action }));
  else say(`${agent.name} ${DONE[action]}.`);
}
