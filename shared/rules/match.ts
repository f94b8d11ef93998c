/** Whether a request is a rule's, and the path that the app sees then. */
import { RE2JS } from "re2js";
import type { Condition, Rewrite, Rule } from "./condition.ts";

export type RuleRequest = {
  method: string;
  /** Of the Host header, with or without a port. */
  host: string;
  /** As it was sent, percent-encoded. */
  path: string;
  /** Values of a query parameter, decoded. */
  query(name: string): readonly string[];
  /** A header's value by its lower-case name; null when it is not there. */
  header(name: string): string | null;
};

export type Matched = {
  /** The path for the app. */
  path: string;
  /** What was taken off it, for X-Forwarded-Prefix; null when nothing was. */
  prefix: string | null;
};

type Test = (request: RuleRequest) => boolean;

/** A rule made ready: its expressions are compiled once. */
export function createMatcher(rule: Rule): (request: RuleRequest) => Matched | null {
  const test = compile(rule.condition);
  const rewrites = rule.rewrites.map(compileRewrite);
  return (request) => {
    if (!test(request)) return null;
    const start: Matched = { path: request.path, prefix: null };
    return rewrites.reduce((matched, rewrite) => rewrite(matched), start);
  };
}

function compile(condition: Condition): Test {
  switch (condition.kind) {
    case "host":
      return ({ host }) => hostName(host) === condition.host;
    case "host_regexp": {
      const matches = expression(condition.pattern);
      return ({ host }) => matches(hostName(host));
    }
    case "path":
      return ({ path }) => path === condition.path;
    case "path_prefix":
      return ({ path }) => path.startsWith(condition.prefix);
    case "path_regexp": {
      const matches = expression(condition.pattern);
      return ({ path }) => matches(path);
    }
    case "method":
      return ({ method }) => method === condition.method;
    case "header":
      return ({ header }) => header(condition.name) === condition.value;
    case "header_regexp": {
      const matches = expression(condition.pattern);
      return ({ header }) => {
        const value = header(condition.name);
        return value !== null && matches(value);
      };
    }
    case "query": {
      const { name, value } = condition;
      return ({ query }) => (value === null ? query(name).length > 0 : query(name).includes(value));
    }
    case "query_regexp": {
      const matches = expression(condition.pattern);
      return ({ query }) => query(condition.name).some(matches);
    }
    case "not": {
      const inner = compile(condition.of);
      return (request) => !inner(request);
    }
    default: {
      const inner = condition.of.map(compile);
      return condition.kind === "and"
        ? (request) => inner.every((test) => test(request))
        : (request) => inner.some((test) => test(request));
    }
  }
}

function compileRewrite(rewrite: Rewrite): (matched: Matched) => Matched {
  switch (rewrite.kind) {
    case "strip":
      return (matched) => {
        const prefix = rewrite.prefixes.find((text) => matched.path.startsWith(text));
        return prefix === undefined ? matched : strip(matched, prefix.length);
      };
    case "strip_regexp": {
      const patterns = rewrite.patterns.map((pattern) => RE2JS.compile(pattern));
      return (matched) => {
        for (const pattern of patterns) {
          const found = pattern.matcher(matched.path);
          if (found.find()) return strip(matched, found.end());
        }
        return matched;
      };
    }
    case "add_prefix":
      return (matched) => ({
        ...matched,
        path: `${rewrite.prefix}${matched.path}`.replace(/^\/\/+/, "/"),
      });
    default:
      return (matched) => ({ ...matched, path: rewrite.path });
  }
}

function strip({ path }: Matched, length: number): Matched {
  const rest = path.slice(length);
  return { path: rest.startsWith("/") ? rest : `/${rest}`, prefix: path.slice(0, length) };
}

function expression(pattern: string): (text: string) => boolean {
  const compiled = RE2JS.compile(pattern);
  return (text) => compiled.matcher(text).find();
}

/** Without the port and the root's dot, in lower case. */
function hostName(host: string): string {
  return host
    .replace(/:\d{1,5}$/, "")
    .replace(/\.$/, "")
    .toLowerCase();
}
