/**
 * Rules that say which requests a web app gets (spec apps.md, "Ingress"): Traefik's own words, so that a rule moves here
 * as it is. One condition behind both syntaxes.
 */
import { type Condition, type Rule, RuleError } from "./condition.ts";
import { isTraefik1, parseTraefik1 } from "./traefik1.ts";
import { parseTraefik3 } from "./traefik3.ts";

export { type Condition, type Rewrite, type Rule, RuleError } from "./condition.ts";
export { createMatcher, type Matched, type RuleRequest } from "./match.ts";

/** Characters of a rule: it travels in labels and in the table of all routes. */
export const RULE_CHARS = 2_048;

/** Reads a rule in either syntax. Throws RuleError with one sentence for its author. */
export function parseRule(text: string): Rule {
  if (text.trim() === "")
    throw new RuleError("the rule is empty: write one such as Host:app.example");
  if (text.length > RULE_CHARS)
    throw new RuleError(`the rule has more than ${RULE_CHARS} characters`);
  return isTraefik1(text) ? parseTraefik1(text) : parseTraefik3(text);
}

/** Of several rules that match, the longest wins (Traefik's priority); negative when `a` comes before `b`. */
export function comparePriority(a: Rule, b: Rule): number {
  return b.text.length - a.text.length;
}

/**
 * Hosts that are named outright: who looks for an app by its host finds it there. Null when a request of any other
 * host may match, too.
 */
export function namedHosts(condition: Condition): Set<string> | null {
  if (condition.kind === "host") return new Set([condition.host]);
  if (condition.kind === "or") {
    const sets = condition.of.map(namedHosts);
    return sets.some((set) => set === null)
      ? null
      : new Set(sets.flatMap((set) => [...(set ?? [])]));
  }
  if (condition.kind !== "and") return null;
  const [first = null, ...others] = condition.of.map(namedHosts).filter((set) => set !== null);
  return first && new Set([...first].filter((host) => others.every((set) => set.has(host))));
}
