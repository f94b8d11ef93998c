/** The labels and names by which everything of ours is found again on an engine. */
import type { Owner } from "./contracts.ts";

export const LABEL = {
  agent: "railhead.agent",
  build: "railhead.build",
  attempt: "railhead.attempt",
  phase: "railhead.phase",
  /** Milliseconds from its start after which a container is killed, so that a successor knows. */
  deadline: "railhead.deadline_ms",
  /** Bytes a volume may grow to, so that a successor goes on watching it. */
  bytes: "railhead.bytes",
  /** Of a web app's container, in place of `build`: it outlives its attempt. */
  app: "railhead.app",
  project: "railhead.project",
  generation: "railhead.generation",
  replica: "railhead.replica",
} as const;

export type Labels = Record<string, string>;

/** Labels of what belongs to an attempt. */
export function ownerLabels(owner: Owner): Labels {
  return {
    [LABEL.agent]: owner.agent,
    [LABEL.build]: owner.build,
    [LABEL.attempt]: String(owner.attempt),
  };
}

/** The engine's filter for labels: `key=value` for each. */
export function labelFilter(labels: Labels): string[] {
  return Object.entries(labels).map(([key, value]) => `${key}=${value}`);
}

/** Name of a phase's container; only one can have it, so creating it is a compare-and-set (protocol rule 12). */
export function containerName(owner: Owner, phase: string): string {
  return `railhead-${owner.build}-${owner.attempt}-${phase}`;
}

/** Name of a web app's container. */
export function appContainerName(build: string): string {
  return `railhead-app-${build}`;
}

/** Label of a positive whole number; null when it is missing or is none. */
export function numberLabel(labels: Labels | undefined, key: string): number | null {
  const value = Number(labels?.[key]);
  return Number.isSafeInteger(value) && value > 0 ? value : null;
}
