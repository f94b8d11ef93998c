/**
 * Dependencies in rebar.config and rebar.lock (rebar3.org, "Dependencies" and "Lock Files"), and in the metadata of
 * Hex packages (hexpm/specifications, "package_metadata.md"). The terms were read by file:consult, which evaluates
 * nothing. Pure.
 */
import * as z from "zod";
import { gitWant, hexWant, open, type RefKind, type Remotes, type Want } from "./erlang-wants.ts";

/** An Erlang term as the fetch container writes it: text is a binary or a list of characters, "" may be []. */
export type Term = string | number | null | Term[] | { atom: string } | { tuple: Term[] };

const termSchema: z.ZodType<Term> = z.lazy(() =>
  z.union([
    z.string(),
    z.number(),
    z.null(),
    z.array(termSchema),
    z.object({ atom: z.string() }),
    z.object({ tuple: z.array(termSchema) }),
  ]),
);

/** Throws for what our own script did not write. */
export function parseTerm(json: string): Term {
  return termSchema.parse(JSON.parse(json));
}

/** The value of `deps` in rebar.config. */
export function configWants(deps: Term, remotes: Remotes): Want[] {
  return list(deps).map((dep) => configWant(dep, remotes));
}

function configWant(dep: Term, remotes: Remotes): Want {
  const app = name(dep);
  if (app !== null) return hexWant(app, app, "");
  const [first = null, ...rest] = tuple(dep);
  const named = name(first);
  if (named === null) return open("", "in rebar.config is written in a way that is not known");
  const version = text(rest[0] ?? null);
  // The version of old is a pattern that nobody checks, where a source follows.
  const source = tuple(version === null ? (rest[0] ?? null) : (rest[1] ?? null));
  if (source.length === 0)
    return version === null ? unknown(named) : hexWant(named, named, version);
  if (name(source[0] ?? null) === "pkg")
    return hexWant(named, name(source[1] ?? null) ?? "", version ?? "");
  return sourceWant(named, source, remotes);
}

/** `{git, URL}`, `{git, URL, {tag | branch | ref, Name}}` and `{git, URL, "Name"}`. */
function sourceWant(app: string, [kind, where, at = null]: Term[], remotes: Remotes): Want {
  const url = text(where ?? null);
  if (name(kind ?? null) !== "git" || url === null) return unknown(app);
  const [how, what] = tuple(at);
  const ref = text(what ?? null) ?? text(at) ?? "";
  const kinds: Record<string, RefKind> = { tag: "tag", branch: "branch" };
  return gitWant(
    app,
    url,
    ref === "" ? null : ref,
    kinds[name(how ?? null) ?? ""] ?? "any",
    remotes,
  );
}

/** All that a rebar.lock names, dependencies of dependencies included. Null for what is no lock. */
export function lockWants(terms: Term, remotes: Remotes): Want[] | null {
  const [first = null, sums = null] = list(terms);
  // Of old, the list stood there without the version of the file's format.
  const locked = Array.isArray(first) ? first : tuple(first)[1];
  if (!Array.isArray(locked)) return null;
  const outer = checksums(sums, "pkg_hash_ext");
  const inner = checksums(sums, "pkg_hash");
  return locked.map((entry) => {
    const [app_ = null, source = null] = tuple(entry);
    const app = name(app_) ?? "";
    const [kind, where = null, at = null] = tuple(source);
    if (name(kind ?? null) !== "pkg") return sourceWant(app, tuple(source), remotes);
    const sha256 = outer.get(app) ?? null;
    const checksum = inner.get(app) ?? null;
    return hexWant(app, name(where) ?? "", text(at) ?? "", { sha256, checksum });
  });
}

function checksums(sums: Term, key: string): Map<string, string> {
  const found = list(sums).find((entry) => name(tuple(entry)[0] ?? null) === key) ?? null;
  return new Map(
    list(tuple(found)[1] ?? null).flatMap((entry) => {
      const [app = null, sum = null] = tuple(entry);
      const hex = text(sum)?.toLowerCase() ?? "";
      return /^[0-9a-f]{64}$/.test(hex) ? [[name(app) ?? "", hex] as const] : [];
    }),
  );
}

/** The `requirements` of a Hex package's metadata: a list of property lists, or a property list of them. */
export function metadataWants(requirements: Term): Want[] {
  return list(requirements).flatMap((entry) => {
    const pair = tuple(entry);
    const properties = new Map(
      list(pair.length > 0 ? (pair[1] ?? null) : entry).map((property) => {
        const [key = null, value = null] = tuple(property);
        return [text(key) ?? "", value] as const;
      }),
    );
    if (name(properties.get("optional") ?? null) === "true") return [];
    const hex = text(pair[0] ?? null) ?? text(properties.get("name") ?? null) ?? "";
    const app = text(properties.get("app") ?? null) ?? hex;
    return [hexWant(app, hex, text(properties.get("requirement") ?? null) ?? "")];
  });
}

function unknown(app: string): Want {
  return open(app, "is in a place that is neither a git repository nor Hex");
}

function list(term: Term): Term[] {
  return Array.isArray(term) ? term : [];
}

function tuple(term: Term): Term[] {
  return typeof term === "object" && term !== null && "tuple" in term ? term.tuple : [];
}

function text(term: Term): string | null {
  if (Array.isArray(term)) return term.length === 0 ? "" : null;
  return typeof term === "string" ? term : null;
}

/** An atom, or text that stands for one. */
function name(term: Term): string | null {
  if (typeof term === "object" && term !== null && "atom" in term) return term.atom;
  return typeof term === "string" ? term : null;
}
