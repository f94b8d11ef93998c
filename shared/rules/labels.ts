/**
 * A rule in the words of each version of Traefik, for the labels of an app's containers on a host that already runs it
 * (spec apps.md, "Deploy").
 */
import type { Condition, Rewrite, Rule } from "./condition.ts";
import { isTraefik1 } from "./traefik1.ts";

/** Labels of a container whose app listens on `port`. `name`: of the router, the service and the middlewares; without a dot. */
export function traefikLabels(name: string, rule: Rule, port: number): Record<string, string> {
  const middlewares = rule.rewrites.map((rewrite, i) => middleware(`${name}-${i + 1}`, rewrite));
  const first = isTraefik1(rule.text) ? rule.text : traefik1(rule.condition);
  return {
    "traefik.enable": "true",
    ...(first === null
      ? {}
      : { "traefik.frontend.rule": first, "traefik.port": String(port), "traefik.backend": name }),
    [`traefik.http.routers.${name}.rule`]: traefik3(rule.condition),
    [`traefik.http.services.${name}.loadbalancer.server.port`]: String(port),
    ...Object.fromEntries(middlewares.flatMap(({ labels }) => labels)),
    ...(middlewares.length === 0
      ? {}
      : {
          [`traefik.http.routers.${name}.middlewares`]: middlewares
            .map(({ name }) => name)
            .join(","),
        }),
  };
}

/** The condition in the syntax of Traefik 3. */
export function traefik3(condition: Condition): string {
  switch (condition.kind) {
    case "host":
      return call("Host", condition.host);
    case "host_regexp":
      return call("HostRegexp", condition.pattern);
    case "path":
      return call("Path", condition.path);
    case "path_prefix":
      return call("PathPrefix", condition.prefix);
    case "path_regexp":
      return call("PathRegexp", condition.pattern);
    case "method":
      return call("Method", condition.method);
    case "header":
      return call("Header", condition.name, condition.value);
    case "header_regexp":
      return call("HeaderRegexp", condition.name, condition.pattern);
    case "query":
      return condition.value === null
        ? call("QueryRegexp", condition.name, ".*")
        : call("Query", condition.name, condition.value);
    case "query_regexp":
      return call("QueryRegexp", condition.name, condition.pattern);
    case "not":
      return `!${enclosed(condition.of)}`;
    default:
      return condition.of.map(enclosed).join(condition.kind === "and" ? " && " : " || ");
  }
}

function enclosed(condition: Condition): string {
  const text = traefik3(condition);
  return condition.kind === "and" || condition.kind === "or" ? `(${text})` : text;
}

function call(name: string, ...values: string[]): string {
  return `${name}(${values.map(quoted).join(", ")})`;
}

/** A Go string literal: raw where it can be. */
function quoted(value: string): string {
  return value.includes("`") ? JSON.stringify(value) : `\`${value}\``;
}

/** The same for Traefik 1; null for what its syntax has no words for. */
function traefik1(condition: Condition): string | null {
  const parts = (condition.kind === "and" ? condition.of : [condition]).map(part);
  return parts.includes(null) ? null : parts.join(";");
}

function part(condition: Condition): string | null {
  const of = condition.kind === "or" ? condition.of : [condition];
  const words = of.map(word);
  const name = words[0]?.[0];
  if (name === undefined || words.some((one) => one === null || one[0] !== name)) return null;
  const values = words.map((one) => one?.[1] ?? "");
  if (values.some((value) => /[;,]/.test(value))) return null;
  return `${name}:${values.join(",")}`;
}

function word(condition: Condition): [name: string, value: string] | null {
  if (condition.kind === "host") return ["Host", condition.host];
  if (condition.kind === "path") return ["Path", condition.path];
  if (condition.kind === "path_prefix") return ["PathPrefix", condition.prefix];
  if (condition.kind === "method") return ["Method", condition.method];
  return null;
}

function middleware(name: string, rewrite: Rewrite): { name: string; labels: [string, string][] } {
  const [key, value] = setting(rewrite);
  return { name, labels: [[`traefik.http.middlewares.${name}.${key}`, value]] };
}

function setting(rewrite: Rewrite): [key: string, value: string] {
  switch (rewrite.kind) {
    case "strip":
      return ["stripprefix.prefixes", rewrite.prefixes.join(",")];
    case "strip_regexp":
      return ["stripprefixregex.regex", rewrite.patterns.join(",")];
    case "add_prefix":
      return ["addprefix.prefix", rewrite.prefix];
    default:
      return ["replacepath.path", rewrite.path];
  }
}
