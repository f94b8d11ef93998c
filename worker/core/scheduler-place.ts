/** Which agent a build goes to, and how to tell a caller why it does not go yet. Pure. */
import type { AgentView } from "../../shared/identity.ts";
import type { Agent, HeldBack } from "./registry.ts";
import type { JobRow } from "./scheduler-store.ts";

/** An agent with at least one free slot. */
export type Candidate = { agent: Agent; used: number };

/** What of an agent the choice depends on, for those who explain it. */
export type Standing = {
  agent: Agent;
  used: number;
  status: AgentView["status"];
  heldBack: HeldBack | null;
};

type Wanted = Pick<JobRow, "recipe" | "needs" | "refusals">;

export function serves(agent: Agent, job: Wanted): boolean {
  return agent.recipes.includes(job.recipe) && hasLabels(agent, job);
}

/** A label may list several values, with commas between them. */
function hasLabels(agent: Agent, job: Wanted): boolean {
  return Object.entries(job.needs).every(([label, value]) =>
    agent.labels[label]?.split(",").includes(value),
  );
}

/**
 * The least loaded candidate that may take the build; among equals the one that waited longest.
 * `isFresh` is asked of the winner alone, because it looks at a socket; one that fails it leaves the set.
 */
export function pick(
  candidates: Set<Candidate>,
  job: Wanted,
  isFresh: (agent: Agent) => boolean,
): Candidate | null {
  for (;;) {
    let best: Candidate | null = null;
    for (const candidate of candidates) {
      if (!serves(candidate.agent, job)) continue;
      if (Object.hasOwn(job.refusals, candidate.agent.agent)) continue;
      if (best === null || compareLoad(candidate, best) < 0) best = candidate;
    }
    if (best === null || isFresh(best.agent)) return best;
    candidates.delete(best);
  }
}

function compareLoad(a: Candidate, b: Candidate): number {
  return (
    a.used / a.agent.capacity - b.used / b.agent.capacity || a.agent.assignedAt - b.agent.assignedAt
  );
}

/**
 * Whether every agent that could take the build refuses it. One that is only away for the moment might
 * still take it; one that an operator holds back does not count.
 */
export function isRefusedByAll(standings: Standing[], job: Wanted): boolean {
  const able = standings.filter(
    ({ agent, status }) =>
      status !== "gone" && agent.cordon === null && !agent.draining && serves(agent, job),
  );
  return able.length > 0 && able.every(({ agent }) => Object.hasOwn(job.refusals, agent.agent));
}

/** Why a waiting build does not start now, as the end of "It waits because …". Names no agent but those that refuse it. */
export function whyNot(standings: Standing[], job: Wanted): string {
  const serving = standings.filter(({ agent }) => agent.recipes.includes(job.recipe));
  if (serving.length === 0) return `no agent serves ${job.recipe}`;
  const fitting = serving.filter(({ agent }) => hasLabels(agent, job));
  if (fitting.length === 0)
    return `no agent that serves ${job.recipe} has the labels ${labelsText(job.needs)}`;
  const present = fitting.filter(({ status }) => status === "connected");
  if (present.length === 0) return "no agent that could take it is connected";
  const working = present.filter(({ heldBack }) => heldBack === null);
  const aside = asideText(present);
  if (working.length === 0) return `no agent takes new work: ${aside}`;
  const willing = working.filter(({ agent }) => !Object.hasOwn(job.refusals, agent.agent));
  if (willing.length === 0)
    return `the connected agents refuse it (${Object.values(job.refusals).join("; ")})`;
  const { slots, free } = slotsOf(willing);
  if (free > 0) return "a slot is free and about to be given out";
  const busy = slots === 1 ? "the only slot is busy" : `all ${slots} slots are busy`;
  return aside === "" ? busy : `${busy}; ${aside}`;
}

/** The connected agents that could take a build but get no new work, each with its reason: for those who may list agents. */
export function heldBackFrom(standings: Standing[], job: Wanted): string[] {
  return standings.flatMap(({ agent, status, heldBack }) =>
    status === "connected" && heldBack !== null && serves(agent, job)
      ? [`${agent.name} is ${heldBack.kind}: ${heldBack.reason}`]
      : [],
  );
}

/**
 * Milliseconds until place `position` of the line starts, when builds run `meanRunMs` each; null without history or
 * slots. An estimate: those before it may be of another kind, and those that run may be nearly done.
 */
export function expectedWait(
  standings: Standing[],
  job: Wanted,
  position: number,
  meanRunMs: number | null,
): number | null {
  const { slots, free } = slotsOf(
    standings.filter(
      ({ agent, status, heldBack }) =>
        status === "connected" && heldBack === null && serves(agent, job),
    ),
  );
  if (meanRunMs === null || slots === 0) return null;
  return Math.round((Math.max(0, position - free) / slots) * meanRunMs);
}

function slotsOf(standings: Standing[]): { slots: number; free: number } {
  let slots = 0;
  let free = 0;
  for (const { agent, used } of standings) {
    slots += agent.capacity;
    free += Math.max(0, agent.capacity - used);
  }
  return { slots, free };
}

/** `2 agents are cordoned, 1 agent is unwell`; empty when none is held back. */
function asideText(standings: Standing[]): string {
  const counts = new Map<string, number>();
  for (const { heldBack } of standings)
    if (heldBack) counts.set(heldBack.kind, (counts.get(heldBack.kind) ?? 0) + 1);
  return Array.from(counts, ([kind, n]) => `${n} ${n === 1 ? "agent is" : "agents are"} ${kind}`)
    .sort()
    .join(", ");
}

function labelsText(labels: Record<string, string>): string {
  return Object.entries(labels)
    .map(([label, value]) => `${label}=${value}`)
    .join(",");
}
