/** /builds/{id}: how a build stands, its log, and its cancellation. */
import { createRoute } from "@hono/zod-openapi";
import type { Context } from "hono";
import * as z from "zod";
import {
  BUILD_STATES,
  type BuildRecord,
  buildIdSchema,
  buildRecordSchema,
  parseBuildId,
} from "../../shared/builds.ts";
import { LOG_PRIVATE_STREAM_MS } from "../../shared/limits.ts";
import { Problem } from "../../shared/problem.ts";
import { goRepository } from "../../shared/recipes/go.ts";
import { canRead } from "../access.ts";
import type { App, AppEnv } from "../app.ts";
import { maySeeAgents, requireCanceller } from "../callers.ts";
import type { BuildView, Caller, CancelAnswer } from "../core/contracts.ts";
import { chooseLogFormat, LOG_CONTENT_TYPES } from "../log-format.ts";
import { serveLogSocket } from "../log-socket.ts";
import { logSource } from "../log-source.ts";
import { type LogView, streamLog } from "../log-stream.ts";
import { retrying } from "../retry.ts";
import { json, problems } from "./documents.ts";
import { credentialsOf } from "./go-request.ts";

const idParam = z.object({
  id: z.string().describe("The build_id: 32 hex digits, or the same as a UUID with dashes."),
});

const recordRoute = createRoute({
  method: "get",
  path: "/builds/{id}",
  summary: "How a build stands",
  description:
    "A build that waits has its position, the wait to expect from builds of its kind before it, and why it " +
    "does not start now. With a token that may list agents the sentence also names those that take no new work, and why.",
  request: { params: idParam },
  responses: {
    200: json("The record.", buildRecordSchema),
    ...problems("no_such_build", "remote_unreachable"),
  },
});

const cancelledSchema = z.object({
  build_id: buildIdSchema,
  status: z.enum(BUILD_STATES),
  /** `withdrawn`: others still want it, so it goes on. */
  result: z.enum(["cancelled", "cancelling", "withdrawn"]),
});

const cancelRoute = createRoute({
  method: "delete",
  path: "/builds/{id}",
  summary: "Cancel a build, or withdraw one's interest in it",
  description:
    "For the admin token, and for whoever posted it: a build token, an address, or for the build of a web app " +
    "a deploy token. A private build is there only for the admin token, the build token that posted it, and a " +
    "git token that may read its repository. A repeat is answered alike until the build has ended.",
  request: { params: idParam },
  responses: {
    200: json("It is cancelled, or goes on for others.", cancelledSchema),
    202: json("Its agent is being told; the build ends when the host is clean.", cancelledSchema),
    ...problems("no_such_build", "unauthorized", "forbidden", "already_ended", "publishing"),
    ...problems("remote_unreachable"),
  },
});

const logRoute = createRoute({
  method: "get",
  path: "/builds/{id}/logs",
  summary: "The log of a build",
  description:
    "One JSON object a line; with Accept text/plain the lines alone, with text/event-stream " +
    "Server-Sent Events whose ids resume (Last-Event-ID), with a WebSocket upgrade one JSON frame " +
    'an entry, within the credit that the viewer sends as {"credit": bytes}.',
  request: {
    params: idParam,
    query: z.object({
      follow: z.enum(["0", "1", "true", "false"]).optional().describe("1: until the build's end."),
      after: z
        .string()
        .regex(/^\d{1,15}$/, "it is the position of an entry")
        .optional()
        .describe("Begin behind the entry at this position."),
    }),
  },
  responses: {
    101: { description: "Live frames over a WebSocket." },
    200: {
      description: "The log.",
      content: {
        "application/x-ndjson": { schema: z.string() },
        "text/plain": { schema: z.string() },
        "text/event-stream": { schema: z.string() },
      },
    },
    ...problems("bad_query", "bad_header", "no_such_build", "remote_unreachable"),
  },
});

export function buildRoutes(app: App): void {
  app.openapi(recordRoute, async (c) => {
    const view = await readableBuild(c, c.req.valid("param").id);
    const telling = view.held_back.length > 0 && (await maySeeAgents(c));
    const record = telling ? withAgents(view) : view.record;
    c.header("cache-control", "no-store");
    c.header("vary", "accept, authorization");
    return c.json(withOrigin(new URL(c.req.url).origin, record), 200);
  });

  app.openapi(cancelRoute, async (c) => {
    const caller = await requireCanceller(c);
    const id = buildIdOf(c.req.valid("param").id);
    await refuseStranger(c, id, caller);
    const answer = await c.env.BUILDS.getByName(id).cancel(caller);
    if (answer.kind === "refused") throw refusedCancel(answer);
    const { build_id, state: status } = answer.build;
    const body = { build_id, status, result: answer.kind };
    return answer.kind === "cancelling" ? c.json(body, 202) : c.json(body, 200);
  });

  app.openapi(logRoute, async (c) => {
    const { record } = await readableBuild(c, c.req.valid("param").id);
    const { follow = "0", after } = c.req.valid("query");
    const live = c.req.header("upgrade")?.toLowerCase() === "websocket";
    const format = chooseLogFormat(c.req.header("accept"));
    const lasting = live || format === "sse" || follow === "1" || follow === "true";
    const view: LogView = {
      build_id: record.build_id,
      after: resumePosition(c.req.header("last-event-id")) ?? Number(after ?? 0),
      follow: lasting,
      // Who only reads what is there has proven access to all of it.
      ends_at:
        lasting && record.visibility === "private" ? Date.now() + LOG_PRIVATE_STREAM_MS : null,
    };
    const source = logSource(c.env, record.build_id, record.visibility);
    if (live) return serveLogSocket(source, view);
    return new Response(streamLog(source, format, view), {
      headers: {
        "content-type": LOG_CONTENT_TYPES[format],
        // A proxy that compresses or buffers would hold lines back.
        "cache-control": "no-store, no-transform",
        "content-encoding": "identity",
        "x-accel-buffering": "no",
        vary: "accept, authorization",
      },
    });
  });
}

/** The build, for whoever may read it. Throws Problem `no_such_build` for unknown and forbidden alike. */
async function readableBuild(c: Context<AppEnv>, text: string): Promise<BuildView> {
  const view = await viewOf(c.env, buildIdOf(text));
  if (await mayRead(c, view)) return view;
  throw noSuchBuild();
}

async function viewOf(env: Env, id: string): Promise<BuildView> {
  const view = await retrying(() => env.BUILDS.getByName(id).view());
  if (view === null) throw noSuchBuild();
  return view;
}

async function mayRead(c: Context<AppEnv>, { record, repositories }: BuildView): Promise<boolean> {
  const { target } = record;
  // Who knows the id of an image's build was given it by whoever posted it.
  if (target.visibility !== "private") return true;
  const { remote } = target;
  const all = [goRepository(target), ...repositories];
  return (await canRead(c.env, remote, all, credentialsOf(c, remote))) !== null;
}

/**
 * Whoever is neither the admin nor holds the token that posted it learns of a private build only what a
 * reader may. An address proves nothing: others share it.
 */
async function refuseStranger(c: Context<AppEnv>, id: string, caller: Caller): Promise<void> {
  const view = await viewOf(c.env, id);
  const posted = caller.startsWith("token:") && caller === view.posted_by;
  if (caller === "admin" || posted || (await mayRead(c, view))) return;
  throw noSuchBuild();
}

function refusedCancel({ code }: Extract<CancelAnswer, { kind: "refused" }>): Problem {
  if (code === "already_ended") return new Problem(code, "The build has ended: nothing to cancel.");
  if (code === "publishing")
    return new Problem(code, "The build is done and being published: it cannot be cancelled.");
  if (code === "unknown") return noSuchBuild();
  return new Problem(code, "Only whoever posted a build, or the admin token, may cancel it.");
}

function buildIdOf(text: string): string {
  const id = parseBuildId(text);
  if (id === null) throw noSuchBuild();
  return id;
}

function noSuchBuild(): Problem {
  return new Problem(
    "no_such_build",
    "There is no such build. A private one is shown only to a token that may read its repository.",
    { headers: { vary: "authorization" } },
  );
}

/** An SSE client that was cut off says where. */
function resumePosition(header: string | undefined): number | null {
  if (header === undefined || header === "") return null;
  if (!/^\d{1,15}$/.test(header))
    throw new Problem("bad_header", "Last-Event-ID is the id of an event of this log.");
  return Number(header);
}

/** The record with the reasons of agents that take no new work: a host's state is for those who may list agents. */
function withAgents({ record, held_back }: BuildView): BuildRecord {
  if (record.queue?.why == null) return record;
  const why = `${record.queue.why} (${held_back.join("; ")})`;
  return { ...record, queue: { ...record.queue, why } };
}

/** Objects know paths; a caller gets URLs. */
export function withOrigin(origin: string, record: BuildRecord): BuildRecord {
  const absolute = (url: string) => (url.startsWith("/") ? `${origin}${url}` : url);
  return {
    ...record,
    artifact: absolute(record.artifact),
    artifacts: record.artifacts.map((file) => ({ ...file, url: absolute(file.url) })),
    log: absolute(record.log),
  };
}
