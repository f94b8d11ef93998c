/** The matchers that both syntaxes name, their arguments checked. */
import { RE2JS } from "re2js";
import { type Condition, RuleError } from "./condition.ts";

/** A host name, or a pattern `*.example`. */
const HOST =
  /^(?=.{1,253}$)(?:\*\.)?[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/;
/** A token (RFC 9110 section 5.6.2). */
const TOKEN = /^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$/;
/** `{name}` or `{name:pattern}`, as Traefik 1 and 2 write regular expressions. */
const TEMPLATE = /\{[A-Za-z][A-Za-z0-9_-]*(?::|\})/;

export function host(text: string): Condition {
  const name = text.trim().toLowerCase().replace(/\.$/, "");
  // No request has a host that no URL can have, such as 1.2.3.999.
  if (!HOST.test(name) || !URL.canParse(`http://${name.replace("*", "any")}/`))
    throw new RuleError(`"${text}" is no host name`);
  if (!name.startsWith("*.")) return { kind: "host", host: name };
  return { kind: "host_regexp", pattern: `^[^.]+${RE2JS.quote(name.slice(1))}$` };
}

/** A host with `{name:pattern}` in it, as Traefik 1 has them: what stands outside of braces is literal. */
export function hostTemplate(text: string): Condition {
  const pattern = template(text, "[^.]+");
  return pattern === null ? host(text) : { kind: "host_regexp", pattern };
}

/** The same, as Traefik 2 has them, or an expression as Traefik 3 has them. */
export function hostRegexp(text: string): Condition {
  return { kind: "host_regexp", pattern: template(text, "[^.]+") ?? checked(`(?i)${text}`) };
}

export function path(text: string): Condition {
  const pattern = template(absolute(text), "[^/]+");
  return pattern === null ? { kind: "path", path: text } : pathPattern(`${pattern}`);
}

export function pathPrefix(text: string): Condition {
  const pattern = template(absolute(text), "[^/]+");
  return pattern === null
    ? { kind: "path_prefix", prefix: text }
    : pathPattern(pattern.replace(/\$$/, ""));
}

export function pathRegexp(text: string): Condition {
  return pathPattern(text);
}

export function method(text: string): Condition {
  if (!TOKEN.test(text)) throw new RuleError(`"${text}" is no HTTP method`);
  return { kind: "method", method: text.toUpperCase() };
}

export function header(name: string, value: string): Condition {
  return { kind: "header", name: headerName(name), value };
}

export function headerRegexp(name: string, pattern: string): Condition {
  return { kind: "header_regexp", name: headerName(name), pattern: checked(pattern) };
}

export function query(name: string, value: string | null): Condition {
  if (name === "") throw new RuleError("Query needs the name of a parameter");
  return { kind: "query", name, value };
}

export function queryRegexp(name: string, pattern: string): Condition {
  if (name === "") throw new RuleError("QueryRegexp needs the name of a parameter");
  return { kind: "query_regexp", name, pattern: checked(pattern) };
}

/** A pattern that a prefix to be stripped may be written as. */
export function prefixPattern(text: string): string | null {
  return template(absolute(text), "[^/]+")?.replace(/\$$/, "") ?? null;
}

export function absolute(text: string): string {
  if (!text.startsWith("/")) throw new RuleError(`the path "${text}" must begin with /`);
  return text;
}

/** Linear-time expressions in Go's syntax: an author's pattern must not be able to stall the edge. */
export function checked(pattern: string): string {
  try {
    RE2JS.compile(pattern);
  } catch (error) {
    const why = error instanceof Error ? error.message : "it does not parse";
    throw new RuleError(`"${pattern}" is no regular expression of Go's syntax: ${why}`);
  }
  return pattern;
}

function pathPattern(pattern: string): Condition {
  return { kind: "path_regexp", pattern: checked(pattern) };
}

function headerName(text: string): string {
  if (!TOKEN.test(text)) throw new RuleError(`"${text}" is no header name`);
  return text.toLowerCase();
}

/** A whole-string pattern of a text with `{name:pattern}` in it; null when there is none. `usual` stands for `{name}`. */
function template(text: string, usual: string): string | null {
  if (!TEMPLATE.test(text)) return null;
  let pattern = "^";
  for (let at = 0; at < text.length; ) {
    if (text[at] !== "{") {
      const next = text.indexOf("{", at);
      const end = next === -1 ? text.length : next;
      pattern += RE2JS.quote(text.slice(at, end));
      at = end;
      continue;
    }
    const end = closing(text, at);
    const [, inner] = /^[A-Za-z][A-Za-z0-9_-]*(?::(.*))?$/s.exec(text.slice(at + 1, end)) ?? [];
    pattern += `(?:${inner ?? usual})`;
    at = end + 1;
  }
  return checked(`${pattern}$`);
}

/** Where the brace at `at` is closed; braces may be nested, as in `{id:[a-z]{3}}`. */
function closing(text: string, at: number): number {
  let depth = 0;
  for (let i = at; i < text.length; i++) {
    if (text[i] === "{") depth++;
    if (text[i] === "}" && --depth === 0) return i;
  }
  throw new RuleError(`a brace is not closed in "${text}"`);
}
