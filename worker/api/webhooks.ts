/** Webhooks of git hosts: a new tag is built. The signature is the right to build; no token of ours is needed. */
import type { Context } from "hono";
import { bodyLimit } from "hono/body-limit";
import * as z from "zod";
import { buildIdSchema } from "../../shared/builds.ts";
import { WEBHOOK_BYTES } from "../../shared/limits.ts";
import { Problem } from "../../shared/problem.ts";
import type { App, AppEnv } from "../app.ts";
import { readConfig } from "../config.ts";
import { coonAnswer } from "../coon.ts";
import { FORGES, type Forge } from "../raw-file.ts";
import { json, problems } from "./documents.ts";
import { buildTag, locate } from "./webhooks-build.ts";
import { takeCallback } from "./webhooks-callback.ts";
import { once, tooLarge } from "./webhooks-once.ts";
import { readDelivery } from "./webhooks-payloads.ts";
import { isSigned } from "./webhooks-signatures.ts";

export function webhookRoutes(app: App): void {
  const limit = bodyLimit({
    maxSize: WEBHOOK_BYTES,
    onError: () => {
      throw tooLarge();
    },
  });
  for (const forge of FORGES) {
    app.post(`/webhooks/${forge}`, limit, (c) => take(c, forge));
    document(app, forge);
  }
  const callback = ["/callback", "/callback/"];
  app.on("POST", callback, limit, async (c) => coonAnswer(await takeCallback(c)));
  documentCallback(app);
}

async function take(c: Context<AppEnv>, forge: Forge): Promise<Response> {
  const secret = readConfig(c.env).gitSecret;
  if (secret === null)
    throw new Problem(
      "bad_signature",
      "No webhook is taken here: the operator has to set GIT_SECRET. See docs/operating.md.",
    );
  const body = new Uint8Array(await c.req.arrayBuffer());
  const { headers } = c.req.raw;
  if (!(await isSigned(forge, { secret, headers, body })))
    throw new Problem(
      "bad_signature",
      "The signature is missing or wrong: the webhook's secret must be the edge's GIT_SECRET.",
    );
  const { repository, event } = readDelivery(forge, headers, body);
  if (event.kind === "other") return nothing(c, `Ignored: ${event.what}.`);
  if (repository === null) throw new Problem("bad_body", "The webhook names no repository.");
  const place = locate(c.env, repository);
  const work = () => buildTag(c.env, forge, place, repository, event.tag);
  const made = await once(c.env, forge, body, work, ({ reason }) => reason === null);
  if (made === null) return nothing(c, "Ignored: this webhook came before.");
  const { reason, ...rest } = made;
  return reason === null ? c.json(rest, 202) : c.json({ reason, ...rest }, 200);
}

function nothing(c: Context<AppEnv>, reason: string): Response {
  return c.json({ reason, builds: [], skipped: [] }, 200);
}

const HEADERS: Record<Forge, Record<string, string>> = {
  github: {
    "x-hub-signature-256":
      "`sha256=` and the HMAC of the body in hex; or x-hub-signature, `sha1=`.",
  },
  gitlab: {
    "x-gitlab-token":
      "The secret token; where that is a signing token (`whsec_…`), webhook-signature, webhook-id and webhook-timestamp.",
  },
  gitea: {
    "x-gitea-signature": "The HMAC-SHA256 of the body in hex; or x-forgejo-signature.",
  },
};

const answerSchema = z.object({
  builds: z.array(z.object({ build: z.string(), build_id: buildIdSchema })),
  skipped: z.array(z.object({ build: z.string(), reason: z.string() })),
});

function document({ openAPIRegistry: registry }: App, forge: Forge): void {
  const headers = Object.entries(HEADERS[forge]).map(([name, description]) => [
    name,
    z.string().optional().describe(description),
  ]);
  registry.registerPath({
    method: "post",
    path: `/webhooks/${forge}`,
    summary: `A webhook of ${forge}: build what a new tag asks for`,
    description:
      "Builds what the repository's .railhead.json lists at the tag, else what was built of its last version.",
    request: {
      headers: z.object(Object.fromEntries(headers)),
      body: {
        content: { "application/json": { schema: z.record(z.string(), z.unknown()) } },
        required: true,
      },
    },
    responses: {
      202: json("What was started, and what was not.", answerSchema),
      200: json("Nothing was.", answerSchema.extend({ reason: z.string() })),
      ...problems("bad_body", "bad_signature", "remote_not_allowed", "no_such_repository"),
      ...problems("no_such_version", "too_large", "bad_railhead_file", "rate_limited"),
      ...problems("queue_full", "remote_unreachable"),
    },
  });
}

function documentCallback({ openAPIRegistry: registry }: App): void {
  const envelope = (description: string, result: boolean, response: z.ZodType) =>
    json(description, z.object({ result: z.literal(result), response }));
  registry.registerPath({
    method: "post",
    path: "/callback",
    summary: "A webhook of GitHub: build the Erlang package of a new tag (coon)",
    request: {
      headers: z.object({
        "x-hub-signature": z.string().optional(),
        "x-hub-signature-256": z.string().optional(),
      }),
      body: {
        content: { "application/json": { schema: z.record(z.string(), z.unknown()) } },
        required: true,
      },
    },
    responses: {
      200: envelope(
        "The build, or what was ignored.",
        true,
        z.union([z.object({ build_ids: z.array(buildIdSchema) }), z.string()]),
      ),
      ...Object.fromEntries(
        [400, 413, 429].map((status) => [status, envelope("What is wrong.", false, z.string())]),
      ),
    },
  });
}
