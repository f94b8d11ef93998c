/** /builds/{id}/files/{name}: what a build published under its own id, an image's or a package's. */
import type { Context } from "hono";
import * as z from "zod";
import { type BuildRecord, isTerminal, parseBuildId } from "../../shared/builds.ts";
import { Problem } from "../../shared/problem.ts";
import { packageKey } from "../../shared/recipes/erlang.ts";
import { imageTargetKey } from "../../shared/recipes/image.ts";
import type { App, AppEnv } from "../app.ts";
import { serveFile } from "../download.ts";
import { freshManifest } from "../manifests.ts";
import { retrying } from "../retry.ts";
import { problems } from "./documents.ts";

/** Recipes whose builds publish so; a Go build's files lie at the path that was asked for. */
const RECIPES = ["image", "erlang"];

export function buildFileRoutes(app: App): void {
  document(app);
  app.get("/builds/:id/files/:name", (c) => getFile(c, c.req.param("id"), c.req.param("name")));
}

/** GET or HEAD of one file of a build. Throws Problem as `serveFile`, `building`, `build_failed`, `no_such_build`. */
async function getFile(c: Context<AppEnv>, text: string, name: string): Promise<Response> {
  const id = parseBuildId(text);
  if (id === null) throw noSuchBuild();
  for (const key of [packageKey(id), imageTargetKey({ job: id })]) {
    const manifest = await freshManifest(c.env, key);
    const response = manifest && (await serveFile(c, manifest, name));
    if (response) return response;
  }
  const view = await retrying(() => c.env.BUILDS.getByName(id).view());
  if (view === null || !RECIPES.includes(view.record.recipe)) throw noSuchBuild();
  throw missing(view.record, new URL(c.req.url).origin, name);
}

function missing(record: BuildRecord, origin: string, name: string): Problem {
  const { build_id, recipe, state, reason } = record;
  const log = `${origin}/builds/${build_id}/logs`;
  if (!isTerminal(state))
    return new Problem("building", `Build ${build_id} is ${state}. Its log: ${log}`, {
      members: { build_id, state, log },
    });
  if (state !== "succeeded")
    return new Problem("build_failed", `Build ${build_id} failed: ${reason} Its log: ${log}`, {
      members: { build_id, state, class: record.class, reason, log },
    });
  const advice = recipe === "image" ? `: post it with "tarball"` : "";
  return new Problem("no_such_file", `Build ${build_id} has no file ${name}${advice}.`);
}

function noSuchBuild(): Problem {
  return new Problem("no_such_build", "There is no build of an image or a package with this id.");
}

function document({ openAPIRegistry: registry }: App): void {
  for (const method of ["get", "head"] as const)
    registry.registerPath({
      method,
      path: "/builds/{id}/files/{name}",
      summary: "Download a file that the build of an image or a package published",
      request: { params: z.object({ id: z.string(), name: z.string() }) },
      responses: {
        200: {
          description: "The file.",
          content: {
            "application/octet-stream": { schema: z.string().meta({ format: "binary" }) },
          },
        },
        206: { description: "The part that Range asked for." },
        304: { description: "Unchanged." },
        ...problems("no_such_build", "no_such_file", "building", "build_failed"),
        ...problems("precondition_failed", "range_not_satisfiable"),
      },
    });
}
