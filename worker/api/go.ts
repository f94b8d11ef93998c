/** The Go face: POST builds, GET and HEAD download. */
import * as z from "zod";
import { BUILD_STATES, buildIdSchema } from "../../shared/builds.ts";
import { commitSchema } from "../../shared/hashes.ts";
import { WAIT_MAX_SECONDS } from "../../shared/limits.ts";
import { queueSchema } from "../../shared/queue.ts";
import type { App } from "../app.ts";
import { json, problems } from "./documents.ts";
import { getGo } from "./go-get.ts";
import { postGo } from "./go-post.ts";
import { goRequest } from "./go-request.ts";

/**
 * A first segment with a dot is a git host; the rest is told apart by the one parser, not by routes. Slashes
 * too many before it are let in for the parser to refuse.
 */
export const GO_ROUTE = "/:path{/*[^/]+\\.[^/]+/[\\s\\S]+}";
const DOCUMENTED = "/{remote}/{owner}/{repo}/{GOOS}/{GOARCH}/{version}";

export function goRoutes(app: App): void {
  document(app);
  app.get(GO_ROUTE, (c) => getGo(c, goRequest(c)));
  app.post(GO_ROUTE, (c) => postGo(c, goRequest(c)));
}

const path = z.object({
  remote: z.string().describe("A git host that is allowed here, such as github.com."),
  owner: z.string().describe("Owner; groups may nest, each a segment of its own."),
  repo: z.string(),
  GOOS: z.string(),
  GOARCH: z.string(),
  version: z
    .string()
    .describe("A tag or a whole commit; `latest`, a range such as v1 or 1.2, or a branch."),
});
const target = z.string().optional().describe("The make target; the makefile's first by default.");
const acceptedSchema = z.object({
  build_id: buildIdSchema,
  status: z.enum(BUILD_STATES),
  version: z.string(),
  commit: commitSchema,
  position: z.int().nullable(),
  queue: queueSchema.nullable(),
  log: z.string(),
  artifact: z.string(),
});
const binary = { "application/octet-stream": { schema: z.string().meta({ format: "binary" }) } };

function document({ openAPIRegistry: registry }: App): void {
  const misses = problems(
    "bad_path",
    "unknown_platform",
    "bad_query",
    "remote_not_allowed",
    "no_such_repository",
    "no_such_version",
    "not_built",
    "building",
    "build_failed",
    "remote_unreachable",
  );
  registry.registerPath({
    method: "post",
    path: DOCUMENTED,
    summary: "Build a Go program",
    request: {
      params: path,
      query: z.object({
        target,
        wait: z
          .string()
          .optional()
          .describe(
            `Seconds to wait for the end, ${WAIT_MAX_SECONDS} at most; also Prefer: wait=N.`,
          ),
      }),
    },
    responses: {
      202: json("The build, new or joined; Location is the artifact.", acceptedSchema),
      303: { description: "It was waited for: Location is the artifact." },
      ...misses,
      ...problems("unauthorized", "already_exists", "rate_limited", "queue_full"),
      ...problems("forbidden", "remote_not_allowed"),
    },
  });
  for (const method of ["get", "head"] as const) {
    registry.registerPath({
      method,
      path: DOCUMENTED,
      summary: "Where to download it",
      request: { params: path, query: z.object({ target }) },
      responses: {
        302: { description: "What the version means now: Location is the exact one." },
        303: { description: "Built: Location is the archive." },
        ...misses,
      },
    });
    registry.registerPath({
      method,
      path: `${DOCUMENTED}/{file}`,
      summary: "Download the archive, the bare executable, a .sha256 or checksums.txt",
      request: {
        params: path.extend({ file: z.string() }),
        query: z.object({ target }),
      },
      responses: {
        200: { description: "The file.", content: binary },
        206: { description: "The part that Range asked for.", content: binary },
        302: { description: "What the version means now: Location is the exact one." },
        304: { description: "Unchanged." },
        ...misses,
        ...problems("precondition_failed", "range_not_satisfiable"),
        ...problems("no_such_file", "not_built", "building", "build_failed"),
      },
    });
  }
}
