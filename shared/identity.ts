/**
 * How an agent proves who it is (conventions.md, DESIGN.md rule 5): it signs a nonce that the edge
 * handed out seconds ago with its Ed25519 key, as a compact JWS (RFC 7515, RFC 8037). The nonce, not
 * a clock, makes it fresh: an agent whose clock is an hour off still gets in.
 *
 * POST /agent/register   Authorization: Bearer rh_… (scope agent), body registerSchema
 * GET  /agent/nonce?agent=ID   -> {nonce, time_ms}
 * GET  /agent/control?agent=ID   Authorization: Bearer <JWS over proofSchema>, upgrade
 */
import * as z from "zod";
import { labelsSchema } from "./protocol.ts";

export const PROOF_AUDIENCE = "railhead-control";
/** `alg` of the JWS header. */
export const PROOF_ALGORITHM = "EdDSA";

export const poolNameSchema = z.string().regex(/^[a-z0-9][a-z0-9-]{0,31}$/);
export const agentNameSchema = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/);
/** `<pool>.<16 hex>`: an agent's id names the pool object that knows its key. */
export const agentIdSchema = z.string().regex(/^[a-z0-9][a-z0-9-]{0,31}\.[0-9a-f]{16}$/);

export const registerSchema = z.object({
  name: agentNameSchema,
  pool: poolNameSchema,
  labels: labelsSchema,
  /** The public key as JWK (RFC 8037). */
  public_key: z.object({
    kty: z.literal("OKP"),
    crv: z.literal("Ed25519"),
    x: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
  }),
});
export type RegisterRequest = z.infer<typeof registerSchema>;

export const registeredSchema = z.object({
  agent: agentIdSchema,
  name: agentNameSchema,
  pool: poolNameSchema,
});

/** What `GET /agent/nonce` answers. */
export const nonceSchema = z.object({
  nonce: z.string().max(256),
  /** The edge's clock, ms since the epoch: for an agent to see that its own is wrong, never for leases (rule 10). */
  time_ms: z.int().optional(),
});

/** Payload of the JWS. */
export const proofSchema = z.object({
  aud: z.literal(PROOF_AUDIENCE),
  sub: agentIdSchema,
  nonce: z.string().max(256),
});

/** What `GET /api/agents` lists. */
export const agentViewSchema = z.object({
  agent: agentIdSchema,
  name: agentNameSchema,
  pool: poolNameSchema,
  labels: labelsSchema,
  recipes: z.array(z.string()),
  capacity: z.int(),
  running: z.array(z.object({ build: z.string(), attempt: z.int() })),
  version: z.string().nullable(),
  /** connected | suspect | gone */
  status: z.enum(["connected", "suspect", "gone"]),
  last_seen: z.string().nullable(),
  draining: z.boolean(),
  /** Why it gets no new work: by an operator's cordon, else its own finding; null when it does. */
  cordoned: z.string().nullable(),
  /** Its own finding ("disk 96 % full"); null when it is well. */
  unwell: z.string().nullable().default(null),
});
export type AgentView = z.infer<typeof agentViewSchema>;

export function poolOfAgent(agent: string): string {
  return agent.slice(0, agent.indexOf("."));
}
