/** Web apps: peroku's paths, and ours beside them (spec apps.md, "Server"). */
import type { RouteConfig } from "@hono/zod-openapi";
import type { Context } from "hono";
import * as z from "zod";
import { type ProjectView, projectRowSchema, projectViewSchema } from "../../shared/apps.ts";
import { buildIdSchema } from "../../shared/builds.ts";
import { Problem } from "../../shared/problem.ts";
import { environmentSchema, generationSchema, projectSchema } from "../../shared/recipes/app.ts";
import type { App, AppEnv } from "../app.ts";
import { ROUTES_NAME } from "../core/app-contracts.ts";
import type { Caller } from "../core/contracts.ts";
import { deployer } from "../deployers.ts";
import { randomHex } from "../random.ts";
import { AGENT_HOST } from "../tunnel/internal.ts";
import { appLog, deployLog, isUpgrade, noSuchProject, refuseSocket } from "./apps-logs.ts";
import { logOf, run } from "./apps-run.ts";
import { json } from "./documents.ts";

const ID_BYTES = 16;
const INVALID_TOKEN = "Invalid token.";

type Allowed = (c: Context<AppEnv>, caller: Caller) => Promise<Response>;

export function appRoutes(app: App): void {
  document(app);
  app.get("/list", secure(list));
  app.post(
    "/run",
    secure(async (c, caller) => c.json({ logid: await run(c, caller) })),
  );
  app.get(
    "/logs/:logid",
    secure((c) => viewer(c, () => deployLog(c, c.req.param("logid") ?? ""))),
  );
  app.get("/projects/:project", secure(show));
  app.delete("/projects/:project", secure(remove));
  app.get(
    "/projects/:project/logs",
    secure((c) => viewer(c, () => appLog(c, nameOf(c)))),
  );
  app.post("/projects/:project/rollback", secure(rollback));
  app.patch("/projects/:project/env", secure(changeEnv));
  app.get("/agent/apps/:project/:build", replicaSocket);
}

/** Wrong or missing token: 403 in peroku's words, on a WebSocket a close with its code. */
function secure(handler: Allowed): (c: Context<AppEnv>) => Promise<Response> {
  return async (c) => {
    const caller = await deployer(c);
    if (caller !== null) return handler(c, caller);
    if (isUpgrade(c)) return refuseSocket();
    return c.text(INVALID_TOKEN, 403, { "cache-control": "no-store" });
  };
}

async function viewer(c: Context<AppEnv>, open: () => Promise<Response>): Promise<Response> {
  const upgrade = isUpgrade(c);
  try {
    if (!upgrade) throw upgradeNeeded();
    return await open();
  } catch (error) {
    // In peroku's words, as text: its clients print them.
    if (error instanceof Problem && error.code === "not_found") return c.text(error.message, 404);
    throw error;
  }
}

async function list(c: Context<AppEnv>): Promise<Response> {
  const routes = await c.env.ROUTES.getByName(ROUTES_NAME).list();
  const views = await Promise.all(
    routes.map(({ project }) => c.env.APPS.getByName(project).view()),
  );
  const rows = views
    .filter((view) => view !== null)
    .map((view) => projectRowSchema.parse(reachedBy(c, view)))
    .sort((a, b) => (a.project < b.project ? -1 : 1));
  return c.json(rows, 200, { "cache-control": "no-store" });
}

async function show(c: Context<AppEnv>): Promise<Response> {
  const name = nameOf(c);
  const view = await c.env.APPS.getByName(name).view();
  if (view === null) throw noSuchProject(name);
  return c.json(reachedBy(c, view), 200, { "cache-control": "no-store" });
}

/** An app answers where this server does: by the same scheme, on the same port. */
function reachedBy(c: Context<AppEnv>, view: ProjectView): ProjectView {
  if (view.url === null) return view;
  const { protocol, port } = new URL(c.req.url);
  const url = new URL(view.url);
  url.protocol = protocol;
  url.port = port;
  return { ...view, url: url.href };
}

async function remove(c: Context<AppEnv>): Promise<Response> {
  const name = nameOf(c);
  if (await c.env.APPS.getByName(name).remove()) return c.body("", 200);
  return c.text(noSuchProject(name).message, 404);
}

async function rollback(c: Context<AppEnv>, caller: Caller): Promise<Response> {
  const { to } = await body(c, z.object({ to: generationSchema.nullable().default(null) }));
  const answer = await c.env.APPS.getByName(nameOf(c)).rollback(to, randomHex(ID_BYTES), caller);
  return c.json({ logid: logOf(answer, "") });
}

async function changeEnv(c: Context<AppEnv>): Promise<Response> {
  const changes = await body(c, z.record(z.string(), z.string().nullable()));
  const set = Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== null));
  const unset = Object.keys(changes).filter((name) => changes[name] === null);
  const checked = environmentSchema.safeParse({
    ...set,
    ...Object.fromEntries(unset.map((n) => [n, ""])),
  });
  if (!checked.success)
    throw new Problem("bad_body", `A variable is refused: ${checked.error.issues[0]?.message}.`);
  const env = await c.env.APPS.getByName(nameOf(c)).setEnv(changes);
  return c.json({ env }, 200, { "cache-control": "no-store" });
}

/** An agent's socket: the App itself checks the replica's token. */
async function replicaSocket(c: Context<AppEnv>): Promise<Response> {
  const build = c.req.param("build") ?? "";
  if (!/^[0-9a-f]{32}$/.test(build)) throw new Problem("bad_path", "A build id is 32 hex digits.");
  const request = new Request(`https://${AGENT_HOST}/${build}`, c.req.raw);
  return c.env.APPS.getByName(nameOf(c)).fetch(request);
}

function nameOf(c: Context<AppEnv>): string {
  const name = c.req.param("project") ?? "";
  if (!projectSchema.safeParse(name).success) throw noSuchProject(name);
  return name;
}

async function body<T>(c: Context<AppEnv>, schema: z.ZodType<T>): Promise<T> {
  const text = await c.req.text();
  let value: unknown;
  try {
    value = JSON.parse(text.trim() === "" ? "{}" : text);
  } catch {
    throw new Problem("bad_body", "The body must be JSON.");
  }
  const read = schema.safeParse(value);
  if (read.success) return read.data;
  const [issue] = read.error.issues;
  throw new Problem("bad_body", `"${issue?.path.join(".")}" is refused: ${issue?.message}.`);
}

function upgradeNeeded(): Problem {
  return new Problem("upgrade_required", "This is a WebSocket.", {
    headers: { upgrade: "websocket", connection: "upgrade" },
  });
}

const forbidden = { description: "`Invalid token.`" };
const unknown = { description: "`project '<name>' not found.`" };
const param = z.object({ project: projectSchema });
const logid = json("The id of its log.", z.object({ logid: z.string() }));
const security = [{ token: [] }];

function document({ openAPIRegistry: registry }: App): void {
  const path = (
    method: "get" | "post" | "delete" | "patch",
    name: string,
    summary: string,
    more: Pick<RouteConfig, "request" | "responses" | "description">,
  ) => registry.registerPath({ method, path: name, summary, security, ...more });
  path("get", "/list", "Projects that run", {
    responses: { 200: json("By name.", z.array(projectRowSchema)), 403: forbidden },
  });
  path("post", "/run", "Deploy a project", {
    description:
      "JSON, a form or a query with `project`, `rule` and `data` (base64 of a tar, plain or gzip); or the tar itself " +
      "as application/x-tar or application/gzip, with the rest in the query.",
    responses: { 200: logid, 400: { description: "What is wrong with it." }, 403: forbidden },
  });
  path("get", "/logs/{logid}", "The log of a deploy, over a WebSocket", {
    request: { params: z.object({ logid: z.string() }) },
    responses: {
      101: { description: "Raw text, from the start." },
      404: { description: "`logging endpoint not found`" },
    },
  });
  path("get", "/projects/{project}", "A project", {
    request: { params: param },
    responses: { 200: json("How it stands.", projectViewSchema), 403: forbidden, 404: unknown },
  });
  path("delete", "/projects/{project}", "Stop and delete a project", {
    request: { params: param },
    responses: { 200: { description: "Empty." }, 403: forbidden, 404: unknown },
  });
  path("get", "/projects/{project}/logs", "What a project prints, over a WebSocket", {
    request: {
      params: param,
      query: z.object({
        since: z.string().optional().describe("RFC 3339, or seconds since 1970."),
        tail: z.string().optional().describe("Lines of each replica."),
        follow: z.string().optional().describe("0: end with what there is."),
      }),
    },
    responses: { 101: { description: '`{"stream", "data"}` a frame.' }, 404: unknown },
  });
  path("get", "/agent/apps/{project}/{build}", "An agent's socket for a replica", {
    description: "WebSocket. Text frames say how the replica is, binary ones are requests to it.",
    request: { params: param.extend({ build: buildIdSchema }) },
    responses: { 101: { description: "Open." }, 403: { description: "This replica is nobody's." } },
  });
  path("post", "/projects/{project}/rollback", "Deploy an earlier deployment again", {
    request: {
      params: param,
      body: {
        content: {
          "application/json": { schema: z.object({ to: generationSchema.nullable().optional() }) },
        },
      },
    },
    responses: { 200: logid, 403: forbidden, 404: unknown },
  });
  path(
    "patch",
    "/projects/{project}/env",
    "Set environment variables for deployments to come; null unsets",
    {
      request: {
        params: param,
        body: {
          content: { "application/json": { schema: z.record(z.string(), z.string().nullable()) } },
        },
      },
      responses: {
        200: json("Names of all.", z.object({ env: z.array(z.string()) })),
        403: forbidden,
      },
    },
  );
}
