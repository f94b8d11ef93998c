/** Forms that post: each becomes a request to the API, with the token that was typed in, under the API's rules. */
import type { Context, Hono } from "hono";
import { csrf } from "hono/csrf";
import { HTTPException } from "hono/http-exception";
import type { BuildRecord } from "../../shared/builds.ts";
import { parseBuildId } from "../../shared/builds.ts";
import { Problem, type ProblemCode } from "../../shared/problem.ts";
import { goPath } from "../../shared/recipes/go.ts";
import { type App, type AppEnv, smallBody } from "../app.ts";
import { TOKEN_HEADER } from "../tokens.ts";
import { canRebuild } from "../web/words.ts";

/** What may stand in a header: no token of ours holds anything else. */
const SENDABLE = /^[\x21-\x7e]+$/;

/** Coon's envelope says no code. */
const CODE_OF_STATUS: Record<number, ProblemCode> = {
  401: "unauthorized",
  403: "forbidden",
  429: "rate_limited",
  502: "remote_unreachable",
  503: "overloaded",
};

export type Form = Readonly<Record<string, readonly string[]>>;

/** Asks the API as whoever sent the form. */
export type Ask = (method: string, path: string, json?: unknown) => Promise<Response>;

const sameOrigin = csrf();

/**
 * The members of a posted form, and the way to the API. Throws Problem `foreign_form` for one of another site,
 * `unsupported_media_type` for what is no form, `unauthorized` for what cannot be a token.
 */
export async function postedForm(c: Context<AppEnv>, api: App): Promise<{ form: Form; ask: Ask }> {
  await refuseOtherSites(c);
  const type = c.req.header("content-type") ?? "";
  if (!/^application\/x-www-form-urlencoded\s*(?:;|$)/i.test(type))
    throw new Problem("unsupported_media_type", "This takes a form as browsers send it.");
  await smallBody(c, async () => {});
  const form: Record<string, string[]> = {};
  for (const [name, value] of new URLSearchParams(await c.req.text()))
    form[name] = [...(form[name] ?? []), value];
  const token = form.token?.[0]?.trim() ?? "";
  if (token !== "" && !SENDABLE.test(token))
    throw new Problem("unauthorized", "This is no token. Ask the operator for one.");
  return { form, ask: asker(c, api, token) };
}

function asker(c: Context<AppEnv>, api: App, token: string): Ask {
  return async (method, path, json) => {
    const headers = new Headers({ accept: "application/json" });
    const address = c.req.header("cf-connecting-ip");
    if (address !== undefined) headers.set("cf-connecting-ip", address);
    if (token !== "") headers.set(TOKEN_HEADER, token);
    if (json !== undefined) headers.set("content-type", "application/json");
    const body = json === undefined ? null : JSON.stringify(json);
    const request = new Request(new URL(path, c.req.url), { method, headers, body });
    return api.fetch(request, c.env, c.executionCtx);
  };
}

async function refuseOtherSites(c: Context<AppEnv>): Promise<void> {
  try {
    await sameOrigin(c, async () => {});
  } catch (error) {
    if (!(error instanceof HTTPException)) throw error;
    throw new Problem(
      "foreign_form",
      "This form was sent from another site, or by no browser. Open the page here and send it again; programs use the API.",
    );
  }
}

export function actionRoutes(site: Hono<AppEnv>, api: App): void {
  site.post("/builds/:id/cancel", async (c) => {
    const { ask } = await postedForm(c, api);
    const path = buildPath(c);
    await accepted(await ask("DELETE", path));
    return c.redirect(path, 303);
  });

  site.post("/builds/:id/rebuild", async (c) => {
    const { ask } = await postedForm(c, api);
    const record: BuildRecord = await (await accepted(await ask("GET", buildPath(c)))).json();
    return c.redirect(`/builds/${await rebuild(record, ask)}`, 303);
  });
}

/** Asks for the same again. @returns the id of the build that makes it */
async function rebuild(record: BuildRecord, ask: Ask): Promise<string> {
  const { build_id, target } = record;
  if (!canRebuild(record))
    throw new Problem(
      "already_exists",
      "This build cannot be repeated: ask for it as you did before.",
    );
  if (target.recipe === "go") {
    const answer = await accepted(await ask("POST", goPath(target)));
    return ((await answer.json()) as { build_id: string }).build_id;
  }
  const answer = await accepted(await ask("POST", "/rebuild", { build_id }));
  return ((await answer.json()) as { response: { build_ids: [string] } }).response.build_ids[0];
}

/** The API's answer, unless it is an error other than `welcome`: then throws the Problem that it tells of. */
export async function accepted(answer: Response, welcome?: number): Promise<Response> {
  if (answer.status < 400 || answer.status === welcome) return answer;
  const { code, detail } = await refusalOf(answer);
  const headers: Record<string, string> = {};
  const retryAfter = answer.headers.get("retry-after");
  if (retryAfter !== null) headers["retry-after"] = retryAfter;
  throw new Problem(code, detail, { headers });
}

/** What an error of the API says, in RFC 9457 or in coon's envelope. */
export async function refusalOf(answer: Response): Promise<{ code: ProblemCode; detail: string }> {
  const body = (await answer.json().catch(() => ({}))) as {
    code?: ProblemCode;
    detail?: string;
    response?: unknown;
  };
  const said = typeof body.response === "string" ? body.response : "The request was refused.";
  const code = body.code ?? CODE_OF_STATUS[answer.status] ?? "bad_body";
  // The body was made from a form, by us.
  return { code: code === "bad_body" ? "bad_form" : code, detail: body.detail ?? said };
}

function buildPath(c: Context<AppEnv>): string {
  const id = parseBuildId(c.req.param("id") ?? "");
  if (id === null) throw new Problem("no_such_build", "There is no such build.");
  return `/builds/${id}`;
}
