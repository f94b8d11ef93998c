/** Going back to an earlier deployment, and variables for those to come. */
import type { Context } from "hono";
import * as z from "zod";
import { Problem } from "../../shared/problem.ts";
import {
  ENVIRONMENT_CHARS,
  environmentChars,
  environmentSchema,
  generationSchema,
  KEPT_DEPLOYMENTS,
} from "../../shared/recipes/app.ts";
import { refusedMember } from "../../shared/refused-member.ts";
import type { AppEnv } from "../app.ts";
import { bodyOf, readText } from "../body.ts";
import type { Caller } from "../core/contracts.ts";
import { randomHex } from "../random.ts";
import { noSuchProject } from "./apps-logs.ts";
import { logOf } from "./apps-run.ts";

const ID_BYTES = 16;
/** Bytes of a body: variables of the most characters, each escaped as JSON may, and room. */
const BODY_BYTES = 8 * ENVIRONMENT_CHARS;

export const rollbackSchema = z.strictObject({ to: generationSchema.nullable().default(null) });
const ROLLBACK_BODY =
  'It is a JSON object such as {"to": 3}, or empty for the version that served before.';
export const changesSchema = z.record(z.string(), z.string().nullable());
const CHANGES_BODY = 'It is a JSON object such as {"KEY": "value", "OLD": null}: null unsets.';

export async function rollback(
  c: Context<AppEnv>,
  name: string,
  caller: Caller,
): Promise<Response> {
  const { to } = await body(c, rollbackSchema, ROLLBACK_BODY);
  const answer = await c.env.APPS.getByName(name).rollback(to, randomHex(ID_BYTES), caller);
  if (answer.kind === "refused" && answer.code === "unknown") throw noSuchProject(name);
  if (answer.kind === "refused" && answer.code === "not_kept") throw notKept(name, to, answer.kept);
  return c.json({ logid: logOf(answer, "") });
}

/** `to`: null for what served before. `kept`: what may be gone back to. */
function notKept(name: string, to: number | null, kept: readonly number[]): Problem {
  const what = `${name} cannot go back${to === null ? "" : ` to generation ${to}`}`;
  const why =
    kept.length === 0
      ? "none of its deployments has served yet"
      : to === null
        ? `nothing served before generation ${kept[0]}`
        : `of those that served it keeps the last ${KEPT_DEPLOYMENTS}, now ${kept.join(", ")}`;
  return new Problem("not_found", `${what}: ${why}.`);
}

export async function changeEnv(c: Context<AppEnv>, name: string): Promise<Response> {
  const changes = await body(c, changesSchema, CHANGES_BODY);
  const all = Object.fromEntries(Object.entries(changes).map(([key, value]) => [key, value ?? ""]));
  const chars = environmentChars(all);
  if (chars > ENVIRONMENT_CHARS) throw tooMany(`This change has ${chars}`);
  const checked = environmentSchema.safeParse(all);
  if (!checked.success) throw refused(checked.error, CHANGES_BODY);
  const answer = await c.env.APPS.getByName(name).setEnv(name, changes);
  if (answer.kind === "refused")
    throw tooMany(`All variables of ${name} would have ${answer.chars}`);
  return c.json({ env: answer.env }, 200, { "cache-control": "no-store" });
}

function tooMany(what: string): Problem {
  return new Problem(
    "bad_body",
    `${what} characters as JSON, and may have ${ENVIRONMENT_CHARS}: nothing was changed. Unset some, or make them shorter.`,
  );
}

/** `wanted`: a sentence that shows such a body. */
async function body<T>(c: Context<AppEnv>, schema: z.ZodType<T>, wanted: string): Promise<T> {
  const text = await readText(bodyOf(c.req.raw), BODY_BYTES, tooLarge);
  let value: unknown;
  try {
    value = JSON.parse(text.trim() === "" ? "{}" : text);
  } catch {
    throw new Problem("bad_body", `The body is no JSON. ${wanted}`);
  }
  const read = schema.safeParse(value);
  if (read.success) return read.data;
  throw refused(read.error, wanted);
}

function tooLarge(): Problem {
  return new Problem("too_large", `The body may have ${BODY_BYTES} bytes.`);
}

function refused(error: z.ZodError, wanted: string): Problem {
  const { member, text } = refusedMember(error);
  const sentence = member === "" ? `The body is refused: ${text}. ${wanted}` : `${text}.`;
  return new Problem("bad_body", sentence, { members: { member } });
}
