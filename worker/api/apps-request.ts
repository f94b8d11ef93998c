/** What a `POST /run` asks: peroku's three fields, then ours. Pure but for reading the body. */
import type { Context } from "hono";
import * as z from "zod";
import { CONTEXT_JSON_BYTES } from "../../shared/limits.ts";
import { Problem } from "../../shared/problem.ts";
import { type AppSettings, appSettingsSchema, projectSchema } from "../../shared/recipes/app.ts";
import { refusedMember } from "../../shared/refused-member.ts";
import { namedHosts, parseRule, RuleError } from "../../shared/rules/index.ts";
import type { AppEnv } from "../app.ts";
import { decodeBase64 } from "../base64.ts";
import { bodyOf, readText } from "../body.ts";
import { whyOwn } from "../hosts.ts";

/** Bytes of fields, the tar among them as base64: they stand in memory as a whole. */
export const RUN_BYTES = Math.ceil((CONTEXT_JSON_BYTES * 4) / 3) + 1024 * 1024;

/** What stands in a query or form, too: numbers as text. */
const count = z.coerce.number().meta({ type: "number" });
export const runFieldsSchema = z.object({
  project: z.string().describe("A letter or digit, then letters, digits, `_`, `.` or `-`."),
  rule: z
    .string()
    .describe("Traefik's, of version 1 or 3: which requests the app gets. `Host:app.example`."),
  port: count.optional().describe("The port that the app listens on; 80 by default."),
  replicas: count.optional(),
  memory_bytes: count.optional().describe("Of each replica; the agent's own limit by default."),
  cpus: count.optional(),
  health_path: z
    .string()
    .optional()
    .describe("Must answer 2xx or 3xx before the version goes live; else the port must be open."),
  health_seconds: count.optional().describe("Within which it must; 60 by default."),
  dockerfile: z.string().optional().describe("`Dockerfile` by default."),
  no_cache: z
    .union([z.boolean(), z.stringbool({ truthy: ["1", "true"], falsy: ["0", "false"] })])
    .optional()
    .describe("Run every step anew."),
});

export type Asked = { project: string; rule: string; settings: AppSettings };

/** Checks everything but the tar. Throws Problem that names the member. */
export function askedOf(env: Env, fields: unknown): Asked {
  const read = runFieldsSchema.safeParse(fields);
  if (!read.success) throw refused(read.error);
  const { project, rule, health_path, health_seconds, ...rest } = read.data;
  const named = projectSchema.safeParse(project);
  if (!named.success) throw bad("project", named.error.issues[0]?.message);
  const settings = appSettingsSchema.safeParse({
    ...rest,
    health: { path: health_path, seconds: health_seconds },
  });
  if (!settings.success) throw refused(settings.error);
  return { project, rule: checkedRule(env, rule), settings: settings.data };
}

/** The rule as it was written. Throws Problem `bad_rule`. */
export function checkedRule(env: Env, rule: string): string {
  const text = rule.trim();
  try {
    for (const host of namedHosts(parseRule(text).condition) ?? []) {
      const why = whyOwn(env, host);
      if (why !== null) throw new RuleError(why);
    }
    return text;
  } catch (error) {
    if (!(error instanceof RuleError)) throw error;
    throw new Problem("bad_rule", `The rule is refused: ${error.message}.`, {
      members: { member: "rule" },
    });
  }
}

/** Base64 as peroku's clients send it, line breaks allowed. Throws Problem `bad_body`. */
export function decodeData(text: unknown): Uint8Array<ArrayBuffer> {
  if (typeof text !== "string" || text === "")
    throw bad("data", "is missing: a tar of the project, in base64");
  const tar = decodeBase64(text);
  if (tar === null) throw bad("data", "is not base64");
  return tar;
}

/** A Content-Type without its parameters. */
export function mediaType(c: Context<AppEnv>): string {
  return c.req.header("content-type")?.split(";")[0]?.trim().toLowerCase() ?? "";
}

export function queryFields(c: Context<AppEnv>): Record<string, unknown> {
  return Object.fromEntries(new URL(c.req.url).searchParams);
}

/** Of the query, and of a JSON body or a form that is not multipart. Throws Problem. */
export async function readFields(c: Context<AppEnv>): Promise<Record<string, unknown>> {
  const query = queryFields(c);
  const text = await readText(bodyOf(c.req.raw), RUN_BYTES, fieldsTooLarge);
  if (mediaType(c) === "application/x-www-form-urlencoded")
    return { ...query, ...Object.fromEntries(new URLSearchParams(text)) };
  if (text.trim() === "") return query;
  try {
    return { ...query, ...z.looseObject({}).parse(JSON.parse(text)) };
  } catch {
    throw bodyUnreadable();
  }
}

export function fieldsTooLarge(): Problem {
  return new Problem(
    "too_large",
    `A tar as base64 has at most ${CONTEXT_JSON_BYTES} bytes. Send a larger one as the body, POST /run?project=…&rule=… with ` +
      'Content-Type: application/x-tar, or as the file "data" of a multipart form.',
  );
}

function bodyUnreadable(): Problem {
  return new Problem(
    "bad_body",
    'The body must be JSON such as {"project": "…", "rule": "Host:app.example", "data": "<base64 of a tar>"}, ' +
      "a form, or the tar itself as application/x-tar with ?project= and ?rule=.",
  );
}

export function bad(member: string, what = "is not valid"): Problem {
  return new Problem("bad_body", `"${member}" ${what}.`, { members: { member } });
}

function refused(error: z.ZodError): Problem {
  const { member, text } = refusedMember(error);
  return new Problem("bad_body", `${text}.`, { members: { member } });
}
