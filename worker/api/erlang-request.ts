/** What coon's clients send: the same members for a build, a search and a download. */
import type { Context } from "hono";
import * as z from "zod";
import { parseBuildId } from "../../shared/builds.ts";
import { Problem } from "../../shared/problem.ts";
import { erlSchema, type PackageAsked, refSchema } from "../../shared/recipes/erlang.ts";
import { refusedMember } from "../../shared/refused-member.ts";
import type { AppEnv } from "../app.ts";
import { parseFullName } from "../erlang.ts";

/** Versions that one request may name: each is a build, or a search, of its own. */
export const REQUEST_VERSIONS = 32;
/** Characters of what was sent that an answer repeats. */
const SHOWN_CHARS = 200;

/** What a version is asked for by. Null is any. */
export type Wanted = { ref: string | null; erl: string | null };

export type PackageName = Pick<PackageAsked, "namespace" | "name">;

export type Lookup = PackageName & { versions: Wanted[] };

export type BuildOrder = Lookup & {
  clone_url: string;
  notify: boolean;
  /** The members that we know, as they were sent. */
  echo: Record<string, unknown>;
};

const optionalText = z
  .string()
  .nullish()
  .transform((text) => text || null);
/** `27` is as good as `"27"`. */
const erlVersion = z.preprocess(
  (value) => (typeof value === "number" ? String(value) : value),
  optionalText,
);
/** An array, or one alone; clients of old send an object. */
const versions = z.preprocess(
  (value) => (Array.isArray(value) ? value : value == null ? [] : [value]),
  z.array(z.object({ ref: optionalText, erl_version: erlVersion })).max(REQUEST_VERSIONS),
);
const lookupSchema = z.object({ full_name: z.string(), versions });
const orderSchema = lookupSchema.extend({
  clone_url: z.string(),
  notify_email: z.boolean().nullish(),
});

/** What is looked for. Throws Problem `bad_body`. */
export async function readLookup(c: Context<AppEnv>): Promise<Lookup> {
  const { full_name, versions } = parse(lookupSchema, await readObject(c));
  return { ...nameOf(full_name), versions: versions.map(wanted) };
}

/** What is to be built. Throws Problem `bad_body`. */
export async function readOrder(c: Context<AppEnv>): Promise<BuildOrder> {
  const sent = await readObject(c);
  const { full_name, clone_url, versions, notify_email } = parse(orderSchema, sent);
  const known = Object.entries(sent).filter(([member]) => Object.hasOwn(orderSchema.shape, member));
  return {
    ...nameOf(full_name),
    clone_url,
    versions: versions.map(wanted).map(buildable),
    notify: notify_email ?? true,
    echo: Object.fromEntries(known),
  };
}

/** The build that a body names, as 32 hex; null when it cannot be one. Throws Problem `bad_body`. */
export async function readBuildId(c: Context<AppEnv>): Promise<string | null> {
  return parseBuildId(parse(z.object({ build_id: z.string() }), await readObject(c)).build_id);
}

/** A parameter of the query. Throws Problem `bad_query` when it is missing. */
export function required(c: Context<AppEnv>, name: string): string {
  const value = c.req.query(name);
  if (value === undefined) throw new Problem("bad_query", `"${name}" is missing from the query.`);
  return value;
}

export function nameOf(full_name: string): PackageName {
  const name = parseFullName(full_name);
  if (name !== null) return name;
  throw new Problem("bad_body", `Wrong fullname format: ${shown(full_name)}`);
}

function wanted({ ref, erl_version }: { ref: string | null; erl_version: string | null }): Wanted {
  return { ref, erl: erl_version };
}

/** Nothing is looked up by what no tag and no Erlang is called, but it is no good for a build. */
function buildable({ ref, erl }: Wanted): Wanted {
  if (ref !== null && !refSchema.safeParse(ref).success)
    throw new Problem("bad_body", `"${shown(ref)}" cannot be a tag, a branch or a commit.`);
  if (erl !== null && !erlSchema.safeParse(erl).success)
    throw new Problem("bad_body", `"${shown(erl)}" is no Erlang version such as 27.`);
  return { ref, erl };
}

async function readObject(c: Context<AppEnv>): Promise<object> {
  let value: unknown;
  try {
    value = JSON.parse(await c.req.text());
  } catch (error) {
    if (error instanceof SyntaxError) throw new Problem("bad_body", `${error.message}.`);
    throw error;
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  throw new Problem("bad_body", "The body must be a JSON object.");
}

function parse<T>(schema: z.ZodType<T>, value: object): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new Problem("bad_body", `${refusedMember(parsed.error).text}.`);
}

function shown(text: string): string {
  return text.length > SHOWN_CHARS ? `${text.slice(0, SHOWN_CHARS)}…` : text;
}
