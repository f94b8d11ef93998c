/** What a rule comes to, whichever syntax it was written in: a condition on a request, and what is done to its path. */

export type Condition =
  /** In lower case, without a port. */
  | { kind: "host"; host: string }
  | { kind: "host_regexp"; pattern: string }
  | { kind: "path"; path: string }
  | { kind: "path_regexp"; pattern: string }
  /** A beginning of the path, whole segments or not, as Traefik has it. */
  | { kind: "path_prefix"; prefix: string }
  | { kind: "method"; method: string }
  | { kind: "header"; name: string; value: string }
  | { kind: "header_regexp"; name: string; pattern: string }
  /** `value` null: the parameter is there, whatever it says. */
  | { kind: "query"; name: string; value: string | null }
  | { kind: "query_regexp"; name: string; pattern: string }
  | { kind: "and" | "or"; of: readonly Condition[] }
  | { kind: "not"; of: Condition };

/** Done to a path that matched, in this order. */
export type Rewrite =
  /** The first of these that the path begins with is taken off. */
  | { kind: "strip"; prefixes: readonly string[] }
  | { kind: "strip_regexp"; patterns: readonly string[] }
  | { kind: "add_prefix"; prefix: string }
  | { kind: "replace_path"; path: string };

export type Rule = {
  /** As it was written. */
  text: string;
  condition: Condition;
  rewrites: readonly Rewrite[];
};

/** Why a rule is refused, in one sentence for its author. */
export class RuleError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "RuleError";
  }
}

export function allOf(of: readonly Condition[]): Condition {
  return of.length === 1 ? (of[0] as Condition) : { kind: "and", of };
}

export function anyOf(of: readonly Condition[]): Condition {
  return of.length === 1 ? (of[0] as Condition) : { kind: "or", of };
}
