/** Erlang packages as coon_auto_builder's and enot's clients know them (spec erlang.md). `/callback` is with the webhooks. */
import type { Context } from "hono";
import type { App, AppEnv } from "../app.ts";
import { badge } from "./erlang-badge.ts";
import { buildAsync, buildSync, rebuild } from "./erlang-build.ts";
import { documentErlang } from "./erlang-documents.ts";
import { buildLog, download, downloadErts, get } from "./erlang-files.ts";
import { lastBuilds, listBuilds, listVersions, search } from "./erlang-find.ts";
import { required } from "./erlang-request.ts";

type Handler = (c: Context<AppEnv>) => Promise<Response>;

export function erlangRoutes(app: App): void {
  documentErlang(app);
  // The clients of old put a slash at the end now and then.
  const post = (path: string, handler: Handler) => app.on("POST", [path, `${path}/`], handler);
  const read = (path: string, handler: Handler) => app.on("GET", [path, `${path}/`], handler);
  post("/buildAsync", buildAsync);
  post("/buildSync", buildSync);
  post("/rebuild", rebuild);
  read("/search", search);
  post("/builds", listBuilds);
  post("/versions", listVersions);
  read("/last_builds", lastBuilds);
  read("/download/:id", (c) => download(c, c.req.param("id") ?? ""));
  post("/get", get);
  read("/build_log", (c) => buildLog(c, required(c, "build_id")));
  read("/download_erts/:otp", (c) => downloadErts(c, c.req.param("otp") ?? ""));
  read("/badge", badge);
}
