/** Docker images: tutum-builder's /api/v1, and our own POST of a raw context. */
import type { Context } from "hono";
import * as z from "zod";
import { BUILD_STATES, buildIdSchema } from "../../shared/builds.ts";
import { Problem } from "../../shared/problem.ts";
import type { App, AppEnv } from "../app.ts";
import type { BuildSummary } from "../core/contracts.ts";
import { tutumAnswer } from "../tutum.ts";
import { json, problems } from "./documents.ts";
import { logUrl } from "./go-answers.ts";
import { getLogs, getStatus } from "./images-get.ts";
import { postBuild, postContext, REGISTRY_HEADER, SECRETS_HEADER } from "./images-post.ts";
import { imageBodySchema } from "./images-request.ts";

const CONTEXT_TYPES = ["application/x-tar", "application/gzip"] as const;

export function imageRoutes(app: App): void {
  document(app);
  app.post("/api/v1/build", async (c) => {
    const { build_id } = await postBuild(c);
    return tutumAnswer({ JobIdentifier: dashed(build_id) });
  });
  app.get("/api/v1/:jobid/status", (c) => getStatus(c, c.req.param("jobid")));
  app.get("/api/v1/:jobid/logs", (c) => getLogs(c, c.req.param("jobid")));
  app.post("/api/images", async (c) => {
    const type = c.req.header("content-type")?.split(";")[0]?.trim().toLowerCase() ?? "";
    if (!CONTEXT_TYPES.some((known) => known === type))
      throw new Problem(
        "unsupported_media_type",
        `The body is the build context: send it as ${CONTEXT_TYPES.join(" or ")}.`,
      );
    return accepted(c, await postContext(c, queryFields(c)));
  });
}

const querySchema = z.object({
  image: z.string().describe("`[registry/]namespace/name[:tag]`; without a registry, Docker Hub."),
  dockerfile_path: z.string().optional().describe("`Dockerfile` by default."),
  target: z.string().optional().describe("The stage to build; the last by default."),
  build_arg: z
    .array(z.string())
    .optional()
    .describe("`NAME=value`, repeated. Shown with the build."),
  label: z.array(z.string()).optional().describe("`name=value`, repeated."),
  no_cache: z.enum(["true", "false"]).optional(),
  cache_from: z.array(z.string()).optional().describe("An image, repeated."),
  tarball: z.enum(["true", "false"]).optional().describe("Publish image.tar.gz as well."),
  push: z.enum(["true", "false"]).optional().describe("false: the tarball alone."),
});

/** The query as the fields of a JSON body. Throws Problem `bad_query`. */
function queryFields(c: Context<AppEnv>): Record<string, unknown> {
  const query = new URL(c.req.url).searchParams;
  const lists = { build_arg: "build_args", label: "labels" } as const;
  const fields: Record<string, unknown> = {};
  for (const name of new Set(query.keys())) {
    if (!Object.hasOwn(querySchema.shape, name))
      throw new Problem("bad_query", `?${name.slice(0, 100)}= is no parameter of an image.`);
    const values = query.getAll(name);
    if (name === "build_arg" || name === "label") fields[lists[name]] = pairs(name, values);
    else if (name === "cache_from") fields[name] = values;
    else if (values.length > 1) throw new Problem("bad_query", `?${name}= is given twice.`);
    else fields[name === "image" ? "image_name" : name] = scalar(name, values[0] ?? "");
  }
  return fields;
}

function pairs(name: string, values: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    values.map((value) => {
      const at = value.indexOf("=");
      if (at < 1) throw new Problem("bad_query", `?${name}= takes NAME=value.`);
      return [value.slice(0, at), value.slice(at + 1)];
    }),
  );
}

function scalar(name: string, value: string): string | boolean {
  if (name !== "no_cache" && name !== "tarball" && name !== "push") return value;
  if (value !== "true" && value !== "false")
    throw new Problem("bad_query", `?${name}= takes true or false.`);
  return value === "true";
}

function accepted(c: Context<AppEnv>, build: BuildSummary): Response {
  const { origin } = new URL(c.req.url);
  const { build_id, state: status, position } = build;
  const location = `/builds/${build_id}`;
  const body = {
    build_id,
    status,
    position,
    log: logUrl(origin, build_id),
    url: origin + location,
  };
  return c.json(body, 202, { location, "cache-control": "no-store" });
}

/** A build's id as tutum's clients know it: a UUID. */
function dashed(id: string): string {
  return id.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

const tutumError = {
  description: "tutum-builder's own shape.",
  content: { "application/json": { schema: z.object({ Error: z.string() }) } },
};
const jobParam = z.object({ jobid: z.string().describe("A JobIdentifier, or a build_id.") });
const binary = z.string().meta({ format: "binary" });

function document({ openAPIRegistry: registry }: App): void {
  registry.registerPath({
    method: "post",
    path: "/api/v1/build",
    summary: "Build an image and push it (tutum-builder)",
    description:
      "JSON whose keys are matched without regard to case, or multipart with two parts: the tar, then the JSON. " +
      'Errors are `{"Error": …}`.',
    request: {
      body: {
        content: {
          "application/json": { schema: imageBodySchema },
          "multipart/form-data": {
            schema: z.object({ TarFile: binary, Json: z.string() }),
          },
        },
        required: true,
      },
    },
    responses: {
      200: json("Accepted.", z.object({ JobIdentifier: z.uuid() })),
      ...Object.fromEntries([400, 401, 403, 413, 429, 502].map((status) => [status, tutumError])),
    },
  });
  registry.registerPath({
    method: "get",
    path: "/api/v1/{jobid}/status",
    summary: "How an image's build stands (tutum-builder)",
    request: { params: jobParam },
    responses: {
      200: json(
        "`Building`, `Pushing`, `Finished` or `Failed: …`.",
        z.object({ Status: z.string() }),
      ),
      404: tutumError,
    },
  });
  registry.registerPath({
    method: "get",
    path: "/api/v1/{jobid}/logs",
    summary: "The log of an image's build as one string (tutum-builder)",
    request: { params: jobParam },
    responses: { 200: json("The log so far.", z.object({ Logs: z.string() })), 404: tutumError },
  });
  registry.registerPath({
    method: "post",
    path: "/api/images",
    summary: "Build an image from a context that is the body",
    request: {
      query: querySchema,
      headers: z.object({
        [REGISTRY_HEADER]: z
          .string()
          .optional()
          .describe("`Basic …` for the registry: for the push, and for base images from there."),
        [SECRETS_HEADER]: z
          .string()
          .optional()
          .describe(
            "A JSON object in base64: build secrets by their ids, for `RUN --mount=type=secret,id=…`.",
          ),
      }),
      body: {
        content: Object.fromEntries(CONTEXT_TYPES.map((type) => [type, { schema: binary }])),
        required: true,
      },
    },
    responses: {
      202: json(
        "The build; Location is its record.",
        z.object({
          build_id: buildIdSchema,
          status: z.enum(BUILD_STATES),
          position: z.int().nullable(),
          log: z.string(),
          url: z.string(),
        }),
      ),
      ...problems("bad_query", "bad_header", "bad_body", "unauthorized", "forbidden"),
      ...problems("too_large", "unsupported_media_type", "rate_limited", "queue_full"),
    },
  });
}
