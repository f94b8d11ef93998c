/** What an agent's attempts ask for: their socket to the Build, the context from R2, parts of files to R2. */
import { createRoute } from "@hono/zod-openapi";
import * as z from "zod";
import { attemptSchema, buildIdSchema } from "../../shared/builds.ts";
import { Problem } from "../../shared/problem.ts";
import type { App } from "../app.ts";
import { putPart } from "../artifacts.ts";
import type { ContextAnswer } from "../core/contracts.ts";
import { serveContext } from "../download.ts";
import { verifyTicket } from "../secrets.ts";
import { json, problems } from "./documents.ts";

const number = z.string().regex(/^[1-9]\d{0,6}$/, "it is a number from 1");

const binary = { "application/octet-stream": { schema: z.string().meta({ format: "binary" }) } };

const partRoute = createRoute({
  method: "put",
  path: "/agent/uploads/{upload}/parts/{part}",
  summary: "One part of a file that an attempt made",
  security: [{ ticket: [] }],
  request: {
    params: z.object({ upload: z.string().regex(/^[0-9a-f]{32}$/), part: number }),
    body: { content: binary, required: true },
  },
  responses: {
    200: json("Stored.", z.object({ etag: z.string() })),
    ...problems(
      "bad_path",
      "bad_checksum",
      "unauthorized",
      "attempt_over",
      "length_required",
      "too_large",
    ),
  },
});

const attemptRoute = createRoute({
  method: "get",
  path: "/agent/builds/{id}/attempts/{attempt}",
  summary: "The socket of one attempt",
  security: [{ lease: [] }],
  request: { params: z.object({ id: buildIdSchema, attempt: number }) },
  responses: {
    101: { description: "Frames as in shared/protocol.ts." },
    ...problems("bad_path", "unauthorized", "attempt_over", "upgrade_required"),
  },
});

const contextRoute = createRoute({
  method: "get",
  path: "/agent/builds/{id}/attempts/{attempt}/context",
  summary: "The context that a build was posted with",
  description: "A tar, plain or gzip, whole or the part that Range asks for.",
  security: [{ lease: [] }],
  request: { params: z.object({ id: buildIdSchema, attempt: number }) },
  responses: {
    200: { description: "The context.", content: binary },
    206: { description: "The part that Range asked for.", content: binary },
    ...problems("bad_path", "unauthorized", "forbidden", "no_such_build", "no_such_file"),
    ...problems("attempt_over", "range_not_satisfiable"),
  },
});

export function uploadRoutes(app: App): void {
  app.openapi(partRoute, async (c) => {
    const { upload, part } = c.req.valid("param");
    const token = bearer(c.req.header("authorization"));
    const ticket = token === null ? null : await verifyTicket(c.env, token, Date.now());
    if (ticket === null || ticket.upload !== upload || ticket.part !== Number(part))
      throw new Problem(
        "unauthorized",
        "A part needs a fresh ticket of its own. Ask the Build for one.",
        { headers: { "www-authenticate": "Bearer" } },
      );
    const length = contentLength(c.req.header("content-length"));
    const body = c.req.raw.body ?? new ArrayBuffer(0);
    return c.json({ etag: await putPart(c.env.ARTIFACTS, ticket, body, length) }, 200);
  });

  app.openapi(attemptRoute, (c) => {
    const { id, attempt } = c.req.valid("param");
    if (!attemptSchema.safeParse(Number(attempt)).success)
      throw new Problem("bad_path", "The attempt's number is too large.");
    if (c.req.header("upgrade")?.toLowerCase() !== "websocket")
      throw new Problem("upgrade_required", "This is an agent's WebSocket.", {
        headers: { upgrade: "websocket", connection: "upgrade" },
      });
    return c.env.BUILDS.getByName(id).fetch(c.req.raw);
  });

  app.openapi(contextRoute, async (c) => {
    const { id, attempt } = c.req.valid("param");
    const lease = bearer(c.req.header("authorization"));
    if (lease === null)
      throw new Problem("unauthorized", "Send the attempt's lease as a Bearer token.", {
        headers: { "www-authenticate": "Bearer" },
      });
    const answer = await c.env.BUILDS.getByName(id).context(Number(attempt), lease);
    if (answer.kind !== "ok") throw noContext(answer.kind);
    const response = await serveContext(c, answer.context);
    if (response === null) throw noContext("none");
    return response;
  });
}

function noContext(kind: Exclude<ContextAnswer["kind"], "ok">): Problem {
  if (kind === "unknown") return new Problem("no_such_build", "There is no such build.");
  if (kind === "forbidden")
    return new Problem("forbidden", "This is not the lease of this attempt.");
  if (kind === "over") return new Problem("attempt_over", "This attempt is over. Clean up.");
  return new Problem("no_such_file", "This build has no context.");
}

function bearer(header: string | undefined): string | null {
  return /^Bearer +(\S+)$/i.exec(header ?? "")?.[1] ?? null;
}

function contentLength(header: string | undefined): number | null {
  return header !== undefined && /^\d{1,15}$/.test(header) ? Number(header) : null;
}
