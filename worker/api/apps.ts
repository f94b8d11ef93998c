/** Web apps: peroku's paths, and ours beside them (spec apps.md, "Server"). */
import type { RouteConfig } from "@hono/zod-openapi";
import type { Context } from "hono";
import * as z from "zod";
import { type ProjectView, projectRowSchema, projectViewSchema } from "../../shared/apps.ts";
import { buildIdSchema } from "../../shared/builds.ts";
import { Problem } from "../../shared/problem.ts";
import { projectSchema } from "../../shared/recipes/app.ts";
import type { App, AppEnv } from "../app.ts";
import { ROUTES_NAME } from "../core/app-contracts.ts";
import type { Caller } from "../core/contracts.ts";
import { deployer } from "../deployers.ts";
import { AGENT_HOST } from "../tunnel/internal.ts";
import { changeEnv, changesSchema, rollback, rollbackSchema } from "./apps-change.ts";
import { appLog, deployLog, isUpgrade, noSuchProject, refuseSocket } from "./apps-logs.ts";
import { runFieldsSchema } from "./apps-request.ts";
import { run, TAR_TYPES } from "./apps-run.ts";
import { json, problems } from "./documents.ts";

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
  app.post(
    "/projects/:project/rollback",
    secure((c, caller) => rollback(c, nameOf(c), caller)),
  );
  app.patch(
    "/projects/:project/env",
    secure((c) => changeEnv(c, nameOf(c))),
  );
  app.get("/agent/apps/:project/:build", replicaSocket);
}

/** Wrong or missing token: 403 in peroku's words, on a WebSocket a close with its code. */
function secure(handler: Allowed): (c: Context<AppEnv>) => Promise<Response> {
  return async (c) => {
    const principal = await deployer(c);
    if (principal !== null) return handler(c, principal.caller);
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
  const projects = await c.env.ROUTES.getByName(ROUTES_NAME).projects();
  const views = await Promise.all(projects.map((name) => c.env.APPS.getByName(name).view()));
  const rows = views
    .filter((view) => view !== null)
    .map((view) => projectRowSchema.parse(reachedBy(c, view)));
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
  const url = URL.parse(view.url ?? "");
  if (url === null) return view;
  const { protocol, port } = new URL(c.req.url);
  url.protocol = protocol;
  url.port = port;
  return { ...view, url: url.href };
}

async function remove(c: Context<AppEnv>): Promise<Response> {
  const name = nameOf(c);
  if (await c.env.APPS.getByName(name).remove()) return c.body("", 200);
  return c.text(noSuchProject(name).message, 404);
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
const CLOSED = "Closed with 4001 where the token may not.";
const binary = z.string().meta({ format: "binary" });
const encoded = runFieldsSchema.extend({
  data: z.string().describe("A tar, plain or gzip, of up to 16 MiB, in base64."),
});

function document({ openAPIRegistry: registry }: App): void {
  const path = (
    method: "get" | "post" | "delete" | "patch",
    name: string,
    summary: string,
    more: Pick<RouteConfig, "request" | "responses" | "description">,
  ) => registry.registerPath({ method, path: name, summary, security, ...more });
  path("get", "/list", "All projects", {
    responses: { 200: json("By name.", z.array(projectRowSchema)), 403: forbidden },
  });
  path("post", "/run", "Deploy a project", {
    description:
      "The tar of its folder, plain or gzip: in base64 among the fields of JSON or a form, as the file `data` of a multipart " +
      "form, or as the body. What stands in the query need not be in the body.",
    request: {
      query: runFieldsSchema.partial(),
      body: {
        content: {
          "application/json": { schema: encoded },
          "application/x-www-form-urlencoded": { schema: encoded },
          "multipart/form-data": { schema: runFieldsSchema.extend({ data: binary }) },
          ...Object.fromEntries(TAR_TYPES.map((type) => [type, { schema: binary }])),
        },
      },
    },
    responses: {
      200: logid,
      403: forbidden,
      ...problems("bad_body", "bad_rule", "too_large", "rate_limited", "queue_full"),
    },
  });
  path("get", "/logs/{logid}", "The log of a deploy, over a WebSocket", {
    request: { params: z.object({ logid: z.string() }) },
    responses: {
      101: { description: `Raw text, from the start. ${CLOSED}` },
      403: forbidden,
      404: { description: "`logging endpoint not found`" },
      ...problems("upgrade_required"),
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
    responses: {
      101: { description: `\`{"stream", "data"}\` a frame. ${CLOSED}` },
      403: forbidden,
      404: unknown,
      ...problems("bad_query", "upgrade_required"),
    },
  });
  path("get", "/agent/apps/{project}/{build}", "An agent's socket for a replica", {
    description: "WebSocket. Text frames say how the replica is, binary ones are requests to it.",
    request: { params: param.extend({ build: buildIdSchema }) },
    responses: {
      101: { description: "Open." },
      403: { description: "This replica is nobody's." },
      ...problems("bad_path"),
    },
  });
  path("post", "/projects/{project}/rollback", "Deploy an earlier deployment again", {
    request: {
      params: param,
      body: {
        content: {
          "application/json": { schema: rollbackSchema },
        },
      },
    },
    responses: {
      200: logid,
      403: forbidden,
      404: unknown,
      ...problems("bad_body", "too_large", "rate_limited", "queue_full"),
    },
  });
  path(
    "patch",
    "/projects/{project}/env",
    "Set environment variables for deployments to come; null unsets",
    {
      request: {
        params: param,
        body: {
          content: { "application/json": { schema: changesSchema } },
        },
      },
      responses: {
        200: json("Names of all.", z.object({ env: z.array(z.string()) })),
        403: forbidden,
        404: unknown,
        ...problems("bad_body", "too_large"),
      },
    },
  );
}
