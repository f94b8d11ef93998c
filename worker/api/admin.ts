/** /api/tokens and /api/builds for people, /healthz, /readyz, /version and /metrics for machines. */
import { createRoute } from "@hono/zod-openapi";
import type { Context } from "hono";
import * as z from "zod";
import { BUILD_STATES, buildRecordSchema } from "../../shared/builds.ts";
import { Problem } from "../../shared/problem.ts";
import { PROTOCOL_VERSION } from "../../shared/protocol.ts";
import type { App } from "../app.ts";
import type { AppEnv } from "../app-env.ts";
import { maySeeAgents } from "../callers.ts";
import { awayTexts, lastSign } from "../core/away.ts";
import { CATALOG_NAME, SCOPES } from "../core/contracts.ts";
import { METRICS_CONTENT_TYPE, renderMetrics } from "../metrics.ts";
import { expectedAgents } from "../pool-settings.ts";
import { allAgents, poolStats } from "../pools.ts";
import { requireScope, requires } from "../tokens.ts";
import { VERSION } from "../version.ts";
import { json, problems } from "./documents.ts";

/** Seconds of the longest life of a token that ends: ten years. */
const TOKEN_LIFE_MAX_SECONDS = 10 * 365 * 24 * 60 * 60;
/** Builds on one page of the list. */
const PAGE_MAX = 100;
const PAGE_DEFAULT = 20;

const adminOnly = { security: [{ token: [] }], middleware: requires("admin") };
const scopeSchema = z.enum(SCOPES);
const tokenSchema = z.object({
  id: z.string(),
  scope: scopeSchema,
  name: z.string(),
  created_at: z.string(),
  expires_at: z.string().nullable(),
  last_used_at: z.string().nullable().describe("To the hour."),
});

const createTokenRoute = createRoute({
  method: "post",
  path: "/api/tokens",
  summary: "Make a token",
  ...adminOnly,
  request: {
    body: {
      content: {
        "application/json": {
          schema: z.object({
            scope: scopeSchema,
            name: z.string().max(100).default(""),
            expires_in_s: z.int().min(1).max(TOKEN_LIFE_MAX_SECONDS).nullable().default(null),
          }),
        },
      },
      required: true,
    },
  },
  responses: {
    201: json(
      "The token itself is shown here and never again.",
      tokenSchema.extend({ token: z.string() }),
    ),
    ...problems("bad_body", "unauthorized", "forbidden", "unsupported_media_type"),
  },
});

const listTokensRoute = createRoute({
  method: "get",
  path: "/api/tokens",
  summary: "All tokens, without their secrets",
  ...adminOnly,
  responses: {
    200: json("Oldest first.", z.array(tokenSchema)),
    ...problems("unauthorized", "forbidden"),
  },
});

const revokeTokenRoute = createRoute({
  method: "delete",
  path: "/api/tokens/{id}",
  summary: "Revoke a token",
  description: "It is refused everywhere within five seconds.",
  ...adminOnly,
  request: { params: z.object({ id: z.string().regex(/^[0-9a-f]{16}$/) }) },
  responses: {
    204: { description: "Revoked." },
    ...problems("bad_path", "unauthorized", "forbidden", "not_found"),
  },
});

const listBuildsRoute = createRoute({
  method: "get",
  path: "/api/builds",
  summary: "Public builds, newest first",
  request: {
    query: z.object({
      recipe: z.string().max(32).optional(),
      state: z.enum(BUILD_STATES).optional(),
      repository: filter(512).describe("`git.example/owner/repo`."),
      namespace: filter(512).describe("Owner and groups; the first half of a package's name."),
      name: filter(256),
      version: filter(256).describe("Tag, branch or commit."),
      variant: filter(64).describe("`GOOS/GOARCH`, or the major version of Erlang."),
      q: z
        .string()
        .max(200)
        .optional()
        .describe("Words that repository, namespace or name have, or that one there begins with."),
      all: z
        .enum(["true", "false"])
        .optional()
        .describe("`true`: also what is private or unlisted, as images are. For the admin."),
      cursor: z.string().max(200).optional().describe("`cursor` of the page before."),
      limit: z.coerce.number().int().min(1).max(PAGE_MAX).default(PAGE_DEFAULT),
    }),
  },
  responses: {
    200: json(
      "One page; `cursor` leads to the next, null on the last.",
      z.object({ builds: z.array(buildRecordSchema), cursor: z.string().nullable() }),
    ),
    ...problems("bad_query", "unauthorized", "forbidden"),
  },
});

const healthRoute = createRoute({
  method: "get",
  path: "/healthz",
  summary: "The Worker answers",
  responses: { 200: text("ok") },
});

const readyRoute = createRoute({
  method: "get",
  path: "/readyz",
  summary: "The expected agents are connected and well",
  responses: {
    200: json("Ready.", z.object({ ready: z.literal(true), agents: z.int(), expected: z.int() })),
    ...problems("not_ready"),
  },
});

const versionRoute = createRoute({
  method: "get",
  path: "/version",
  summary: "What is deployed",
  responses: {
    200: json("Version.", z.object({ version: z.string(), protocol: z.int() })),
  },
});

const metricsRoute = createRoute({
  method: "get",
  path: "/metrics",
  summary: "Figures for Prometheus",
  responses: { 200: text("Text exposition format 0.0.4.") },
});

export function adminRoutes(app: App): void {
  tokenRoutes(app);
  listRoutes(app);
  healthRoutes(app);
}

function tokenRoutes(app: App): void {
  app.openapi(createTokenRoute, async (c) => {
    const { scope, name, expires_in_s } = c.req.valid("json");
    const catalog = c.env.CATALOG.getByName(CATALOG_NAME);
    const { token, view } = await catalog.createToken(scope, name, expires_in_s);
    c.header("cache-control", "no-store");
    return c.json({ token, ...view }, 201);
  });

  app.openapi(listTokensRoute, async (c) => {
    c.header("cache-control", "no-store");
    return c.json(await c.env.CATALOG.getByName(CATALOG_NAME).listTokens(), 200);
  });

  app.openapi(revokeTokenRoute, async (c) => {
    const { id } = c.req.valid("param");
    if (!(await c.env.CATALOG.getByName(CATALOG_NAME).revokeToken(id)))
      throw new Problem("not_found", `There is no token ${id}. "railhead token list" lists them.`);
    return c.body(null, 204);
  });
}

function listRoutes(app: App): void {
  app.openapi(listBuildsRoute, async (c) => {
    const { q, all, ...query } = c.req.valid("query");
    if (all === "true") await requireScope(c, "admin");
    const page = await c.env.CATALOG.getByName(CATALOG_NAME).list({
      ...query,
      ...(q ? { text: q } : {}),
      all: all === "true",
    });
    if (page === null)
      throw new Problem("bad_query", "?cursor= takes the cursor that the page before ended with.");
    c.header("cache-control", "no-store");
    return c.json(page, 200);
  });
}

function healthRoutes(app: App): void {
  app.openapi(healthRoute, (c) => c.text("ok\n", 200, { "cache-control": "no-store" }));

  app.openapi(readyRoute, async (c) => {
    const expected = expectedAgents(c.env);
    const pools = await poolStats(c.env);
    const agents = pools.reduce((sum, stats) => sum + stats.agents.connected, 0);
    if (agents < expected)
      throw new Problem(
        "not_ready",
        `${agents} of ${expected} agents are connected and take work${await awayFrom(c)}. "railhead agents" says which are not, and why.`,
        { members: { agents, expected } },
      );
    c.header("cache-control", "no-store");
    return c.json({ ready: true as const, agents, expected }, 200);
  });

  app.openapi(versionRoute, (c) => c.json({ version: VERSION, protocol: PROTOCOL_VERSION }, 200));

  app.openapi(metricsRoute, async (c) =>
    c.text(renderMetrics(await poolStats(c.env)), 200, {
      "content-type": METRICS_CONTENT_TYPE,
      "cache-control": "no-store",
    }),
  );
}

/** When agents that are not connected were last seen; their names for those who may list them. */
async function awayFrom(c: Context<AppEnv>): Promise<string> {
  const away = (await allAgents(c.env))
    .filter(({ status }) => status !== "connected")
    .map(({ name, last_seen }) => ({
      name,
      lastSeen: last_seen === null ? null : Date.parse(last_seen),
    }));
  if (await maySeeAgents(c))
    return awayTexts(away)
      .map((text) => `; ${text}`)
      .join("");
  const latest = lastSign(away);
  return latest === null ? "" : `; ${latest}`;
}

function filter(chars: number) {
  return z.string().min(1).max(chars).optional();
}

function text(description: string) {
  return { description, content: { "text/plain": { schema: z.string() } } };
}
