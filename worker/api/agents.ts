/** /agent/… for the machines: registration and the control socket. /api/agents for their operators. */
import { createRoute } from "@hono/zod-openapi";
import * as z from "zod";
import {
  type AgentView,
  agentIdSchema,
  agentNameSchema,
  agentViewSchema,
  nonceSchema,
  poolOfAgent,
  registeredSchema,
  registerSchema,
} from "../../shared/identity.ts";
import { Problem } from "../../shared/problem.ts";
import type { App } from "../app.ts";
import { CATALOG_NAME } from "../core/contracts.ts";
import { allAgents } from "../pools.ts";
import { requires } from "../tokens.ts";
import { json, problems } from "./documents.ts";

const security = [{ token: [] }];
const adminOnly = { security, middleware: requires("admin") };
const agentQuery = z.object({ agent: agentIdSchema });

const registerRoute = createRoute({
  method: "post",
  path: "/agent/register",
  summary: "Register an agent by its public key",
  security,
  middleware: requires("agent"),
  request: {
    body: { content: { "application/json": { schema: registerSchema } }, required: true },
  },
  responses: {
    201: json("Registered. The edge keeps the public key only.", registeredSchema),
    ...problems("bad_body", "unauthorized", "forbidden", "name_taken", "unsupported_media_type"),
  },
});

const nonceRoute = createRoute({
  method: "get",
  path: "/agent/nonce",
  summary: "A nonce for an agent to sign",
  request: { query: agentQuery },
  responses: {
    200: json("Good for a minute, and until the agent has used it or a newer one.", nonceSchema),
    ...problems("bad_query", "not_found"),
  },
});

const controlRoute = createRoute({
  method: "get",
  path: "/agent/control",
  summary: "An agent's control socket",
  description: "Authorization: Bearer and a compact JWS (EdDSA) over {aud, sub, nonce}.",
  security: [{ proof: [] }],
  request: { query: agentQuery },
  responses: {
    101: { description: "Frames as in shared/protocol.ts." },
    ...problems("bad_query", "unauthorized", "stale_nonce", "upgrade_required"),
  },
});

const listRoute = createRoute({
  method: "get",
  path: "/api/agents",
  summary: "All agents",
  security,
  middleware: requires("build"),
  responses: {
    200: json("Registered agents of every pool.", z.array(agentViewSchema)),
    ...problems("unauthorized", "forbidden"),
  },
});

const idSchema = z
  .union([agentIdSchema, agentNameSchema])
  .describe("An agent's id, or its name where no other pool has one of that name.");

const actRoute = createRoute({
  method: "post",
  path: "/api/agents/{id}/{action}",
  summary: "Cordon, uncordon or drain an agent",
  description: "Cordoned: no new work. Drained: it also exits once what runs has ended.",
  ...adminOnly,
  request: {
    params: z.object({ id: idSchema, action: z.enum(["cordon", "uncordon", "drain"]) }),
    body: {
      content: { "application/json": { schema: z.object({ reason: z.string().max(500) }) } },
      required: false,
    },
  },
  responses: {
    200: json("The agent after it.", agentViewSchema),
    ...problems("bad_path", "bad_body", "unauthorized", "forbidden", "not_found"),
  },
});

const removeRoute = createRoute({
  method: "delete",
  path: "/api/agents/{id}",
  summary: "Remove an agent: its key opens nothing any more, its builds go to others",
  ...adminOnly,
  request: { params: z.object({ id: idSchema }) },
  responses: {
    200: json("The agent as it was.", agentViewSchema),
    ...problems("bad_path", "unauthorized", "forbidden", "not_found"),
  },
});

export function agentRoutes(app: App): void {
  app.openAPIRegistry.registerComponent("securitySchemes", "proof", {
    type: "http",
    scheme: "bearer",
    bearerFormat: "JWS",
    description: "An agent's signature over a nonce of the edge.",
  });

  app.openapi(registerRoute, async (c) => {
    const request = c.req.valid("json");
    const { name, pool } = request;
    // First the pool: one that is listed without agents is harmless, an agent in no list is not.
    await c.env.CATALOG.getByName(CATALOG_NAME).addPool(pool);
    const answer = await c.env.POOLS.getByName(pool).register(request);
    if (answer.kind === "name_taken")
      throw new Problem(
        "name_taken",
        `Pool ${pool} has an agent called ${name}. Use another --name, or remove the old one with "railhead agents remove ${name}".`,
      );
    return c.json({ agent: answer.agent, name, pool }, 201);
  });

  app.openapi(nonceRoute, async (c) => {
    const { agent } = c.req.valid("query");
    const nonce = await c.env.POOLS.getByName(poolOfAgent(agent)).nonce(agent);
    if (nonce === null)
      throw new Problem(
        "not_found",
        'This agent is not registered, or was removed. Register the host with "railhead agent register".',
      );
    c.header("cache-control", "no-store");
    return c.json({ nonce, time_ms: Date.now() }, 200);
  });

  app.openapi(controlRoute, async (c) => {
    const { agent } = c.req.valid("query");
    if (c.req.header("upgrade")?.toLowerCase() !== "websocket")
      throw new Problem("upgrade_required", "This is an agent's WebSocket.", {
        headers: { upgrade: "websocket", connection: "upgrade" },
      });
    const response = await c.env.POOLS.getByName(poolOfAgent(agent)).fetch(c.req.raw);
    if (response.status === 409)
      throw new Problem("stale_nonce", "This nonce was used, or is too old. Ask for another.");
    if (response.status !== 101)
      throw new Problem("unauthorized", "The proof is not this agent's. Register the host again.");
    return response;
  });

  app.openapi(listRoute, async (c) => {
    c.header("cache-control", "no-store");
    return c.json(await allAgents(c.env), 200);
  });

  app.openapi(actRoute, async (c) => {
    const { id, action } = c.req.valid("param");
    const { reason } = c.req.valid("json") ?? {};
    return c.json(await act(c.env, id, action, reason || "cordoned by an operator"), 200);
  });

  app.openapi(removeRoute, async (c) => {
    return c.json(await act(c.env, c.req.valid("param").id, "remove", ""), 200);
  });
}

async function act(
  env: Env,
  idOrName: string,
  action: "cordon" | "uncordon" | "drain" | "remove",
  reason: string,
): Promise<AgentView> {
  const agent = await idOf(env, idOrName);
  const view = await env.POOLS.getByName(poolOfAgent(agent)).act(agent, action, reason);
  if (view === null) throw noSuchAgent(idOrName);
  return view;
}

async function idOf(env: Env, idOrName: string): Promise<string> {
  if (agentIdSchema.safeParse(idOrName).success) return idOrName;
  const named = (await allAgents(env)).filter(({ name }) => name === idOrName);
  if (named.length > 1)
    throw new Problem(
      "bad_path",
      `Several pools have an agent ${idOrName}. Use one of the ids ${named.map(({ agent }) => agent).join(", ")}.`,
    );
  if (named[0] === undefined) throw noSuchAgent(idOrName);
  return named[0].agent;
}

function noSuchAgent(idOrName: string): Problem {
  return new Problem("not_found", `There is no agent ${idOrName}. "railhead agents" lists them.`);
}
