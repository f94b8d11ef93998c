/** Logs as peroku's clients read them: raw text over a WebSocket. */
import type { Context } from "hono";
import { parseBuildId } from "../../shared/builds.ts";
import { Problem } from "../../shared/problem.ts";
import type { AppEnv } from "../app.ts";
import { logSource } from "../log-source.ts";
import { logPages } from "../log-stream.ts";
import { retrying } from "../retry.ts";
import { handLogs } from "../tunnel/internal.ts";
import { Pace } from "../tunnel/pace.ts";

/** peroku's own code for a token that is none. */
const INVALID_TOKEN = 4001;
const CLOSE_NORMAL = 1000;
const CLOSE_BROKEN = 1011;

export function isUpgrade(c: Context<AppEnv>): boolean {
  return c.req.header("upgrade")?.toLowerCase() === "websocket";
}

/** The upgrade succeeds, and says why it is over: a browser or a simple client sees no status of a failed one. */
export function refuseSocket(): Response {
  const { 0: client, 1: server } = new WebSocketPair();
  server.accept();
  server.close(INVALID_TOKEN, "invalid token");
  return new Response(null, { status: 101, webSocket: client });
}

/** The build log of a deploy from its start, then live. Throws Problem `not_found`. */
export async function deployLog(c: Context<AppEnv>, logid: string): Promise<Response> {
  const id = parseBuildId(logid);
  const view = id === null ? null : await retrying(() => c.env.BUILDS.getByName(id).view());
  if (view?.record.recipe !== "app") throw new Problem("not_found", "logging endpoint not found");
  const { build_id, visibility } = view.record;
  const { 0: client, 1: server } = new WebSocketPair();
  server.accept();
  void follow(server, c.env, build_id, visibility);
  return new Response(null, { status: 101, webSocket: client });
}

async function follow(
  socket: WebSocket,
  env: Env,
  build_id: string,
  visibility: "public" | "private" | "unlisted",
): Promise<void> {
  let gone = false;
  socket.addEventListener("close", () => {
    gone = true;
    socket.close();
  });
  try {
    const source = logSource(env, build_id, visibility);
    const pace = new Pace();
    for await (const page of logPages(source, {
      build_id,
      after: 0,
      follow: true,
      ends_at: null,
    })) {
      if (gone) return;
      // A line is a frame, as peroku's were: of a deploy that failed, the last one says why.
      for (const { msg } of page.entries) socket.send(`${msg}\n`);
      if (page.end) break;
      await pace.sent(page.entries.reduce((sum, { msg }) => sum + msg.length, 0));
    }
    socket.close(CLOSE_NORMAL, "end");
  } catch {
    if (!gone) socket.close(CLOSE_BROKEN, "the log broke off: connect again");
  }
}

/**
 * What the app prints. `since`: RFC 3339 or seconds since the epoch; `tail`: lines; `follow`: 0 to end with what there is
 * (peroku's clients stay). Throws Problem.
 */
export async function appLog(c: Context<AppEnv>, project: string): Promise<Response> {
  const app = c.env.APPS.getByName(project);
  if ((await app.view()) === null) throw noSuchProject(project);
  const { since, tail, follow } = c.req.query();
  const from = since === undefined ? null : timeOf(since);
  if (tail !== undefined && !/^\d{1,6}$/.test(tail))
    throw new Problem("bad_query", "?tail= takes a number of lines.");
  const wanted = {
    since: from,
    tail: tail === undefined ? null : Number(tail),
    follow: follow !== "0" && follow !== "false",
  };
  return app.fetch(handLogs(c.req.raw, wanted));
}

export function noSuchProject(project: string): Problem {
  return new Problem("not_found", `project '${project.slice(0, 100)}' not found.`);
}

function timeOf(text: string): string {
  const ms = /^\d{1,12}$/.test(text) ? Number(text) * 1_000 : Date.parse(text);
  if (Number.isFinite(ms)) return new Date(ms).toISOString();
  throw new Problem(
    "bad_query",
    "?since= takes a time such as 2026-01-31T12:00:00Z, or seconds since 1970.",
  );
}
