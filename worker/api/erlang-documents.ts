/** coon's face in the OpenAPI document. */
import * as z from "zod";
import { WAIT_MAX_SECONDS } from "../../shared/limits.ts";
import type { App } from "../app.ts";
import { NO_BUILD_FOR_ID, NO_SUCH_BUILD, NO_SUCH_ERLANG } from "../coon.ts";
import { json } from "./documents.ts";
import { LISTED_BUILDS } from "./erlang-find.ts";
import { REQUEST_VERSIONS } from "./erlang-request.ts";

const version = z.object({
  ref: z.string().optional().describe("A tag, a branch or a commit. Empty for any."),
  erl_version: z
    .string()
    .optional()
    .describe("Major version of Erlang, such as 27. Empty for any."),
});
const full_name = z.string().describe("`namespace/name`.");
const versions = z
  .array(version)
  .max(REQUEST_VERSIONS)
  .optional()
  .describe("May also be one object.");
const lookup = z.object({ full_name, versions });
const order = z.object({
  full_name,
  clone_url: z.string().describe("Of a repository on a git host that is allowed here."),
  versions: versions.describe("May also be one object. None: the newest tag."),
  notify_email: z.boolean().optional().describe("Whether the committer is written to; true."),
});
const started = order.extend({ build_ids: z.array(z.string()) });
const entry = z.object({
  build_id: z.string(),
  namespace: z.string(),
  name: z.string(),
  success: z.boolean(),
  path: z.string().describe("`/download/…`, or `/build_log?build_id=…` of a failed build."),
  build_date: z.string().describe("`YYYY-MM-DD hh:mm`, UTC."),
  version: z.string().nullable(),
  erl_version: z.string().nullable(),
});
const found = z.object({
  build_id: z.string(),
  result: z.boolean(),
  message: z.string().describe("Why it failed."),
  artifact_path: z.string().nullable(),
  created_date: z.int().describe("Milliseconds since the epoch."),
});
const known = z.object({
  version_id: z.string(),
  versionId: z.string(),
  ref: z.string().nullable(),
  erl_version: z.string().nullable(),
});

const refused = json(
  "What is wrong.",
  z.object({ result: z.literal(false), response: z.string() }),
);
const gzip = { "application/gzip": { schema: z.string().meta({ format: "binary" }) } };
const plain = { "text/plain": { schema: z.string() } };

const wait = z.object({
  wait: z
    .string()
    .optional()
    .describe(`Seconds to wait, ${WAIT_MAX_SECONDS} without; also Prefer: wait=N.`),
});

export function documentErlang({ openAPIRegistry: registry }: App): void {
  const post = (
    path: string,
    summary: string,
    body: z.ZodObject,
    answer: z.ZodType,
    statuses: number[] = [],
    query = z.object({}),
  ) =>
    registry.registerPath({
      method: "post",
      path,
      summary,
      request: {
        query,
        body: { content: { "application/json": { schema: body } }, required: true },
      },
      responses: { 200: json("Done.", ok(answer)), ...refusals([400, 413, ...statuses]) },
    });
  const building = [401, 403, 429];
  post("/buildAsync", "Build a package (coon)", order, started, building);
  post(
    "/buildSync",
    "Build a package and wait for it (coon)",
    order,
    z.literal(true),
    building,
    wait,
  );
  const build = z.object({ build_id: z.string() });
  post("/rebuild", "Build a package again, under a new id (coon)", build, started, building);
  const success = z.object({ success: z.enum(["true", "false"]).optional() });
  post(
    "/builds",
    "Builds of a package, failed ones too (coon)",
    lookup,
    z.array(found),
    [],
    success,
  );
  post("/versions", "Versions of a package that can be had (coon)", lookup, z.array(known));

  registry.registerPath({
    method: "get",
    path: "/search",
    summary: "Find packages: the newest build of each version, failed ones too (coon)",
    request: {
      query: z.object({
        name: z.string(),
        namespace: z.string().optional(),
        version: z.string().optional(),
        erl_version: z.string().optional(),
      }),
    },
    responses: { 200: json("Newest first.", ok(z.array(entry))), ...refusals([400]) },
  });
  registry.registerPath({
    method: "get",
    path: "/last_builds",
    summary: "The packages that were built last (coon)",
    request: { query: z.object({ n: z.string().describe(`${LISTED_BUILDS} at most.`) }) },
    responses: { 200: json("Newest first.", ok(z.array(entry))), ...refusals([400]) },
  });
  registry.registerPath({
    method: "post",
    path: "/get",
    summary: "Download the newest package of the first version that there is (coon)",
    request: { body: { content: { "application/json": { schema: lookup } }, required: true } },
    responses: {
      200: { description: file(NO_SUCH_BUILD), content: { ...gzip, ...plain } },
      ...refusals([400, 413]),
    },
  });
  registry.registerPath({
    method: "get",
    path: "/build_log",
    summary: "The log of a package's build (coon)",
    request: { query: z.object({ build_id: z.string() }) },
    responses: {
      200: { description: `The log, or \`${NO_BUILD_FOR_ID}\`.`, content: plain },
      ...refusals([400]),
    },
  });
  registry.registerPath({
    method: "get",
    path: "/badge",
    summary: "A badge with the newest version of a package (coon)",
    request: { query: z.object({ full_name: z.string() }) },
    responses: {
      200: { description: "SVG.", content: { "image/svg+xml": { schema: z.string() } } },
      ...refusals([400]),
    },
  });
  for (const method of ["get", "head"] as const) {
    registry.registerPath({
      method,
      path: "/download/{id}",
      summary: "Download a package (coon)",
      request: { params: z.object({ id: z.string().describe("A build_id.") }) },
      responses: downloads(NO_BUILD_FOR_ID),
    });
    registry.registerPath({
      method,
      path: "/download_erts/{otp}",
      summary: "Download the runtime system of an Erlang version (coon)",
      description: "The first GET of a version has it packed, and waits.",
      request: { params: z.object({ otp: z.string().describe("Such as 27.") }), query: wait },
      responses: { ...downloads(NO_SUCH_ERLANG), ...refusals([400, 401, 429, 503]) },
    });
  }
}

function ok(response: z.ZodType) {
  return z.object({ result: z.literal(true), response });
}

function refusals(statuses: readonly number[]) {
  return Object.fromEntries(statuses.map((status) => [status, refused]));
}

function downloads(missing: string) {
  return {
    200: { description: file(missing), content: { ...gzip, ...plain } },
    206: { description: "The part that Range asked for.", content: gzip },
    304: { description: "Unchanged." },
    ...refusals([412, 416]),
  };
}

function file(missing: string): string {
  return `The file; where there is none, the text \`${missing}\`.`;
}
