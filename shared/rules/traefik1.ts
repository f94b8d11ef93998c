/**
 * The syntax of Traefik 1: `Host:a.example,b.example;PathPrefixStrip:/x`. Semicolons join what must all hold, commas what
 * may hold instead of each other.
 */
import { allOf, anyOf, type Condition, type Rewrite, type Rule, RuleError } from "./condition.ts";
import * as matchers from "./matchers.ts";

type Part = { condition?: Condition; rewrite?: Rewrite };

const PARTS: Record<string, (text: string) => Part> = {
  Host: (text) => ({ condition: anyOf(list(text).map(matchers.host)) }),
  HostRegexp: (text) => ({ condition: anyOf(list(text).map(matchers.hostTemplate)) }),
  Path: (text) => ({ condition: anyOf(list(text).map(matchers.path)) }),
  PathPrefix: (text) => ({ condition: anyOf(list(text).map(matchers.pathPrefix)) }),
  PathStrip: (text) => ({ condition: anyOf(list(text).map(matchers.path)), rewrite: strip(text) }),
  PathPrefixStrip: (text) => ({
    condition: anyOf(list(text).map(matchers.pathPrefix)),
    rewrite: strip(text),
  }),
  PathStripRegex: (text) => ({
    condition: anyOf(list(text).map(matchers.path)),
    rewrite: stripPatterns(text),
  }),
  PathPrefixStripRegex: (text) => ({
    condition: anyOf(list(text).map(matchers.pathPrefix)),
    rewrite: stripPatterns(text),
  }),
  Method: (text) => ({ condition: anyOf(list(text).map(matchers.method)) }),
  Headers: (text) => ({ condition: matchers.header(...pair(text)) }),
  HeadersRegexp: (text) => ({ condition: matchers.headerRegexp(...pair(text)) }),
  Query: (text) => ({ condition: allOf(list(text).map(parameter)) }),
  AddPrefix: (text) => ({ rewrite: { kind: "add_prefix", prefix: matchers.absolute(text) } }),
  ReplacePath: (text) => ({ rewrite: { kind: "replace_path", path: matchers.absolute(text) } }),
};

/** Whether a text is meant in this syntax: it begins with a name and a colon. */
export function isTraefik1(text: string): boolean {
  return /^\s*[A-Za-z]+\s*:/.test(text);
}

/** @throws RuleError */
export function parseTraefik1(text: string): Rule {
  const parts = split(text, ";")
    .filter((part) => part.trim() !== "")
    .map(parsePart);
  const conditions = parts.flatMap(({ condition }) => condition ?? []);
  if (conditions.length === 0)
    throw new RuleError("the rule matches nothing: it names no Host or Path");
  return {
    text,
    condition: allOf(conditions),
    rewrites: parts.flatMap(({ rewrite }) => rewrite ?? []),
  };
}

function parsePart(text: string): Part {
  const at = text.indexOf(":");
  const name = text.slice(0, Math.max(at, 0)).trim();
  const parse = Object.hasOwn(PARTS, name) ? PARTS[name] : undefined;
  if (parse === undefined)
    throw new RuleError(
      `"${at === -1 ? text.trim() : name}" is no matcher of Traefik 1. There are ${Object.keys(PARTS).join(", ")}`,
    );
  const value = text.slice(at + 1).trim();
  if (value === "") throw new RuleError(`${name}: has no value`);
  return parse(value);
}

function list(text: string): string[] {
  const values = split(text, ",").map((value) => value.trim());
  if (values.includes("")) throw new RuleError(`there is an empty value in "${text}"`);
  return values;
}

function strip(text: string): Rewrite {
  return { kind: "strip", prefixes: list(text) };
}

function stripPatterns(text: string): Rewrite {
  const patterns = list(text).map((value) => {
    const pattern = matchers.prefixPattern(value);
    if (pattern === null) throw new RuleError(`"${value}" holds no {pattern}: use PathPrefixStrip`);
    return pattern;
  });
  return { kind: "strip_regexp", patterns };
}

function pair(text: string): [string, string] {
  const at = text.indexOf(",");
  if (at === -1) throw new RuleError(`"${text}" must be a name, a comma and a value`);
  return [text.slice(0, at).trim(), text.slice(at + 1).trim()];
}

function parameter(text: string): Condition {
  const at = text.indexOf("=");
  return at === -1
    ? matchers.query(text, null)
    : matchers.query(text.slice(0, at), text.slice(at + 1));
}

/** Splits at a separator outside of braces: `{id:[a-z]{1,3}}` holds none. */
function split(text: string, separator: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let from = 0;
  for (let i = 0; i < text.length; i++) {
    if (text[i] === "{") depth++;
    else if (text[i] === "}") depth--;
    else if (text[i] === separator && depth === 0) {
      parts.push(text.slice(from, i));
      from = i + 1;
    }
  }
  return [...parts, text.slice(from)];
}
