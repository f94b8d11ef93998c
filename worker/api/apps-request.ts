/** What a `POST /run` asks: peroku's three fields, then ours. Pure but for reading the body. */
import type { Context } from "hono";
import * as z from "zod";
import { CONTEXT_JSON_BYTES } from "../../shared/limits.ts";
import { Problem } from "../../shared/problem.ts";
import { type AppSettings, appSettingsSchema, projectSchema } from "../../shared/recipes/app.ts";
import { namedHosts, parseRule, RuleError } from "../../shared/rules/index.ts";
import type { AppEnv } from "../app.ts";
import { isOwnHost } from "../hosts.ts";

/** Bytes of a body with the tar in it as base64, and the rest. */
export const RUN_BYTES = Math.ceil((CONTEXT_JSON_BYTES * 4) / 3) + 1024 * 1024;

/** What stands in a query or form, too: numbers as text. */
const count = z.coerce.number();
const fieldsSchema = z.object({
  project: z.string(),
  rule: z.string(),
  port: count.optional(),
  replicas: count.optional(),
  memory_bytes: count.optional(),
  cpus: count.optional(),
  health_path: z.string().optional(),
  health_seconds: count.optional(),
  dockerfile: z.string().optional(),
  no_cache: z
    .union([z.boolean(), z.stringbool({ truthy: ["1", "true"], falsy: ["0", "false"] })])
    .optional(),
});

export type Asked = { project: string; rule: string; settings: AppSettings };

/** Checks everything but the tar. Throws Problem that names the member. */
export function askedOf(env: Env, fields: unknown): Asked {
  const read = fieldsSchema.safeParse(fields);
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
    const own = [...(namedHosts(parseRule(text).condition) ?? [])].find((host) =>
      isOwnHost(env, host),
    );
    if (own !== undefined)
      throw new RuleError(`${own} is this server's own name, which no app may have`);
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
  try {
    return Uint8Array.from(atob(text.replaceAll(/\s/g, "")), (sign) => sign.charCodeAt(0));
  } catch {
    throw bad("data", "is not base64");
  }
}

/** Of a form or JSON body. Throws Problem. */
export async function readFields(c: Context<AppEnv>): Promise<Record<string, unknown>> {
  const type = c.req.header("content-type")?.split(";")[0]?.trim().toLowerCase() ?? "";
  const query = Object.fromEntries(new URL(c.req.url).searchParams);
  if (type === "application/x-www-form-urlencoded" || type === "multipart/form-data")
    return { ...query, ...(await c.req.parseBody().catch(() => bodyUnreadable())) };
  const text = await c.req.text();
  if (text.trim() === "") return query;
  try {
    return { ...query, ...z.looseObject({}).parse(JSON.parse(text)) };
  } catch {
    return bodyUnreadable();
  }
}

function bodyUnreadable(): never {
  throw new Problem(
    "bad_body",
    'The body must be JSON such as {"project": "…", "rule": "Host:app.example", "data": "<base64 of a tar>"}, ' +
      "a form, or the tar itself as application/x-tar with ?project= and ?rule=.",
  );
}

export function bad(member: string, what = "is not valid"): Problem {
  return new Problem("bad_body", `"${member}" ${what}.`, { members: { member } });
}

function refused({ issues }: z.ZodError): Problem {
  const [issue] = issues;
  const member = issue?.path.join(".") ?? "";
  const missing = issue?.code === "invalid_type" && /undefined/.test(issue.message);
  return bad(member, missing ? "is missing" : `is refused: ${issue?.message ?? "it is not valid"}`);
}
