/** Which agent a build goes to, and how to tell a caller why it does not go yet. Pure. */
import type { AgentView } from "../../shared/identity.ts";
import { unmetNeedsText } from "../../shared/recipes/index.ts";
import { type Away, awayTexts, lastSign } from "./away.ts";
import type { Agent, HeldBack } from "./registry.ts";
import type { JobKind, JobRow } from "./scheduler-store.ts";

/** An agent with at least one free slot. */
export type Candidate = { agent: Agent; used: number };

/** What of an agent the choice depends on, for those who explain it. */
export type Standing = {
  agent: Agent;
  used: number;
  status: AgentView["status"];
  /** Its last sign of life (ms); null for one that never connected. */
  lastSeen: number | null;
  heldBack: HeldBack | null;
};

type Wanted = JobKind & Pick<JobRow, "refusals" | "avoid">;

export function serves(agent: Agent, job: JobKind): boolean {
  return agent.recipes.includes(job.recipe) && hasLabels(agent, job);
}

/** A label may list several values, with commas between them. */
function hasLabels(agent: Agent, job: JobKind): boolean {
  return Object.entries(job.needs).every(([label, value]) =>
    valuesOf(agent, label).includes(value),
  );
}

function valuesOf(agent: Agent, label: string): string[] {
  return agent.labels[label]?.split(",") ?? [];
}

/**
 * The least loaded candidate that may take the build, one to be avoided last; among equals the one that waited longest.
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
      if (best === null || compare(candidate, best, job) < 0) best = candidate;
    }
    if (best === null || isFresh(best.agent)) return best;
    candidates.delete(best);
  }
}

function compare(a: Candidate, b: Candidate, { avoid }: Wanted): number {
  const avoided = (candidate: Candidate) => Number(avoid.includes(candidate.agent.agent));
  return (
    avoided(a) - avoided(b) ||
    a.used / a.agent.capacity - b.used / b.agent.capacity ||
    a.agent.assignedAt - b.agent.assignedAt
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

export function refusalText(job: Wanted): string {
  return `Every agent that could build this refuses to. ${Object.values(job.refusals).join("; ")}`;
}

/**
 * Why builds of this kind would wait for ever although agents of their recipe are there: none has the labels. One that
 * is away for the moment, or held back, counts as having them. Null where there is such an agent, or nobody to judge by.
 */
export function noSuchAgent(standings: Standing[], kind: JobKind): string | null {
  const known = standings.filter(
    ({ agent, status }) => status !== "gone" && agent.recipes.includes(kind.recipe),
  );
  if (!known.some(({ status }) => status === "connected")) return null;
  if (known.some(({ agent }) => hasLabels(agent, kind))) return null;
  const ofItsRecipe = unmetNeedsText(kind.needs);
  if (ofItsRecipe !== null) return ofItsRecipe;
  const [missing, there] = missingText(known, kind);
  return `No agent has ${missing}. There ${there}.`;
}

/** The labels asked for, and what of them there is. */
function missingText(serving: Standing[], { needs }: JobKind): [missing: string, there: string] {
  const offers = Object.keys(needs).flatMap((label) => {
    const values = new Set(serving.flatMap(({ agent }) => valuesOf(agent, label)));
    return [...values].sort(inOrder).map((value) => `${label}=${value}`);
  });
  const missing = Object.entries(needs).map(([label, value]) => `${label}=${value}`);
  return [missing.join(", "), offers.length === 0 ? "is none" : `are: ${offers.join(", ")}`];
}

const { compare: inOrder } = new Intl.Collator("en", { numeric: true });

/** Why a waiting build does not start now, as the end of "It waits because …". Names no agent but those that refuse it. */
export function whyNot(standings: Standing[], job: Wanted): string {
  const serving = standings.filter(({ agent }) => agent.recipes.includes(job.recipe));
  if (serving.length === 0) return `no agent serves ${job.recipe}`;
  const fitting = serving.filter(({ agent }) => hasLabels(agent, job));
  if (fitting.length === 0) {
    const [missing, there] = missingText(serving, job);
    return `no agent has ${missing}; there ${there}`;
  }
  const present = fitting.filter(({ status }) => status === "connected");
  if (present.length === 0)
    return joined("no agent that could take it is connected", lastSign(fitting.map(toAway)));
  const working = present.filter(({ heldBack }) => heldBack === null);
  const aside = asideText(present);
  if (working.length === 0) return `no agent takes new work: ${aside}`;
  const willing = working.filter(({ agent }) => !Object.hasOwn(job.refusals, agent.agent));
  if (willing.length === 0)
    return `the connected agents refuse it (${Object.values(job.refusals).join("; ")})`;
  const { slots, free } = slotsOf(willing);
  if (free > 0) return "a slot is free and about to be given out";
  const busy = slots === 1 ? "the only slot is busy" : `all ${slots} slots are busy`;
  return joined(busy, aside);
}

/**
 * The connected agents that could take a build but get no new work, each with its reason; where none is connected, those
 * that are away. For those who may list agents.
 */
export function heldBackFrom(standings: Standing[], job: Wanted): string[] {
  const fitting = standings.filter(({ agent }) => serves(agent, job));
  const present = fitting.filter(({ status }) => status === "connected");
  if (present.length === 0) return awayTexts(fitting.map(toAway));
  return present.flatMap(({ agent, heldBack }) =>
    heldBack === null ? [] : [`${agent.name} is ${heldBack.kind}: ${heldBack.reason}`],
  );
}

/** Both, or the first where there is no second. */
function joined(first: string, second: string | null): string {
  return second ? `${first}; ${second}` : first;
}

function toAway({ agent, lastSeen }: Standing): Away {
  return { name: agent.name, lastSeen };
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
