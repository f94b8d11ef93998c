/**
 * The pages stand in front of the API and use it as any other client does: whoever prefers HTML gets a page, of an
 * error too; everybody else, and every path without a page, gets the API's own answer.
 */
import { type Context, Hono } from "hono";
import type { BuildRecord } from "../../shared/builds.ts";
import { Problem } from "../../shared/problem.ts";
import { goRepository, isGoPathError, parseGoPath } from "../../shared/recipes/go.ts";
import { prefersHtml } from "../accept.ts";
import { type App, type AppEnv, refuseWithoutSettings } from "../app.ts";
import { readConfig } from "../config.ts";
import { CATALOG_NAME, type ListQuery } from "../core/contracts.ts";
import { logTail } from "../log-tail.ts";
import { problemBody, toProblem } from "../respond.ts";
import { retrying } from "../retry.ts";
import { assetRoutes } from "../web/assets.ts";
import { BuildPage } from "../web/build.tsx";
import { Home, Results } from "../web/home.tsx";
import { page } from "../web/layout.tsx";
import { ProblemPage, type ShownProblem } from "../web/problem.tsx";
import { titleOf, titleText } from "../web/words.ts";
import { withOrigin } from "./builds.ts";
import { actionRoutes } from "./web-actions.ts";
import { addPage, addRoutes } from "./web-add.tsx";
import { packagePage } from "./web-package.tsx";

/** Builds on the front page, and on a page of results. */
const PAGE_BUILDS = 20;
/** Characters of a search. */
const SEARCH_CHARS = 200;
const FRESH = { "cache-control": "no-store", vary: "accept, authorization" };

export function createSite(api: App): Hono<AppEnv> {
  const site = new Hono<AppEnv>();
  const fromApi = (c: Context<AppEnv>, request: Request = c.req.raw) =>
    api.fetch(request, c.env, c.executionCtx);
  site.onError((error, c) => problemPage(c, toProblem(error, c)));
  assetRoutes(site);
  site.use(async (c, next) => {
    if (!prefersHtml(c.req.header("accept"))) return fromApi(c);
    return next();
  }, refuseWithoutSettings);

  site.get("/", frontPage);
  site.get("/add", addPage);
  site.get("/p/*", packagePage);
  site.get("/builds/:id", async (c) => {
    const answer = await fromApi(c, asking(c, "application/json"));
    return answer.ok ? buildPage(c, await answer.json()) : readable(c, answer);
  });
  site.get("/builds/:id/logs", async (c) => readable(c, await fromApi(c, asking(c, "text/plain"))));
  addRoutes(site, api);
  actionRoutes(site, api);
  site.all("*", async (c) => readable(c, await fromApi(c)));
  return site;
}

/** The same request from a client that would rather read `type`. */
function asking(c: Context<AppEnv>, type: string): Request {
  const headers = new Headers(c.req.raw.headers);
  headers.set("accept", type);
  return new Request(c.req.raw, { headers });
}

/** An answer of the API as a browser should see it: its errors are pages. */
async function readable(c: Context<AppEnv>, answer: Response): Promise<Response> {
  const type = answer.headers.get("content-type") ?? "";
  if (answer.ok || !/^(?:application\/problem\+json|text\/plain)/.test(type)) return answer;
  if (type.startsWith("text/plain")) {
    const detail = (await answer.text()).trim();
    const { status, headers } = answer;
    return showProblem(c, { status, title: `Status ${status}`, detail }, headers);
  }
  return showProblem(c, await answer.json(), answer.headers);
}

function problemPage(c: Context<AppEnv>, problem: Problem): Promise<Response> {
  const shown = problemBody(problem) as ShownProblem;
  return showProblem(c, shown, new Headers(problem.headers));
}

function showProblem(
  c: Context<AppEnv>,
  problem: ShownProblem,
  headers: Headers,
): Promise<Response> {
  const kept = ["allow", "retry-after", "www-authenticate"].flatMap((name) => {
    const value = headers.get(name);
    return value === null ? [] : [[name, value] as const];
  });
  const { status, title } = problem;
  return page(
    c,
    { title, status, headers: { ...Object.fromEntries(kept), ...FRESH } },
    <ProblemPage problem={problem} add={addPath(c)} />,
  );
}

/** The form that adds builds, with what was typed into it, or with the repository that a Go path names. */
function addPath(c: Context<AppEnv>): string {
  const typed = c.get("typed");
  if (typed !== undefined) return `/add?${new URLSearchParams(typed)}`;
  const request = parseGoPath(new URL(c.req.url).pathname);
  if (request === null || isGoPathError(request)) return "/add";
  return `/add?${new URLSearchParams({ repository: goRepository(request) })}`;
}

async function frontPage(c: Context<AppEnv>): Promise<Response> {
  const { origin, searchParams } = new URL(c.req.url);
  const asked = (name: string) => (searchParams.get(name) ?? "").trim();
  const [q, recipe, cursor] = [asked("q").slice(0, SEARCH_CHARS), asked("recipe"), asked("cursor")];
  const found = await listBuilds(c, {
    limit: PAGE_BUILDS,
    ...(q === "" ? {} : { text: q }),
    ...(recipe === "" ? {} : { recipe }),
    ...(cursor === "" ? {} : { cursor }),
  });
  if (!searchParams.has("q") && !searchParams.has("recipe")) {
    const token = !readConfig(c.env).openBuilds;
    return page(c, { title: "" }, <Home builds={found.builds} origin={origin} token={token} />);
  }
  const search = { q, recipe };
  return page(
    c,
    { title: q === "" ? "Builds" : q },
    <Results search={search} builds={found.builds} next={found.cursor} further={cursor !== ""} />,
  );
}

async function listBuilds(
  c: Context<AppEnv>,
  query: ListQuery,
): Promise<{ builds: BuildRecord[]; cursor: string | null }> {
  const list = () => c.env.CATALOG.getByName(CATALOG_NAME).list(query);
  const found = await retrying(list);
  if (found === null)
    throw new Problem("bad_query", "This page of the list is not there. Start with the first.");
  const { origin } = new URL(c.req.url);
  return { ...found, builds: found.builds.map((record) => withOrigin(origin, record)) };
}

/** `?log=none`: for the script, which has the log already. */
async function buildPage(c: Context<AppEnv>, record: BuildRecord): Promise<Response> {
  const bare = c.req.query("log") === "none";
  const tail = bare ? null : await logTail(c.env, record);
  return page(
    c,
    { title: titleText(titleOf(record)), live: true, headers: FRESH },
    <BuildPage record={record} token={!readConfig(c.env).openBuilds} tail={tail} />,
  );
}
