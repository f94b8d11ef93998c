/** Who this agent is: an Ed25519 key that never leaves the host, in `<home>/identity.json` with mode 0600. */
import { constants } from "node:fs";
import { access, mkdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { exportJWK, generateKeyPair, importJWK, SignJWT } from "jose";
import * as z from "zod";
import {
  agentIdSchema,
  agentNameSchema,
  PROOF_ALGORITHM,
  PROOF_AUDIENCE,
  poolNameSchema,
} from "../shared/identity.ts";
import { AgentExit, EXIT, messageOf } from "./errors.ts";
import { writeWhole } from "./files.ts";

export const IDENTITY_FILE = "identity.json";
const OTHERS_MAY = constants.S_IRWXG | constants.S_IRWXO;

const keySchema = z.object({
  kty: z.literal("OKP"),
  crv: z.literal("Ed25519"),
  x: z.string(),
  d: z.string(),
});
export type PrivateKey = z.infer<typeof keySchema>;

const identitySchema = z.object({
  url: z.url(),
  agent: agentIdSchema,
  name: agentNameSchema,
  pool: poolNameSchema,
  key: keySchema,
});
export type Identity = z.infer<typeof identitySchema>;

export async function makeKey(): Promise<PrivateKey> {
  const { privateKey } = await generateKeyPair(PROOF_ALGORITHM, {
    crv: "Ed25519",
    extractable: true,
  });
  return keySchema.parse(await exportJWK(privateKey));
}

/** The proof for GET /agent/control: a compact JWS over the edge's nonce. */
export async function prove(identity: Identity, nonce: string): Promise<string> {
  const key = await importJWK({ ...identity.key, alg: PROOF_ALGORITHM });
  return new SignJWT({ aud: PROOF_AUDIENCE, sub: identity.agent, nonce })
    .setProtectedHeader({ alg: PROOF_ALGORITHM })
    .sign(key);
}

export async function hasIdentity(home: string): Promise<boolean> {
  return access(join(home, IDENTITY_FILE)).then(
    () => true,
    () => false,
  );
}

export async function saveIdentity(home: string, identity: Identity): Promise<void> {
  await mkdir(home, { recursive: true, mode: 0o700 });
  await writeWhole(join(home, IDENTITY_FILE), `${JSON.stringify(identity, null, 2)}\n`, 0o600);
}

/** @throws AgentExit (usage) that says what to do when there is none, others may read it, or it is damaged. */
export async function loadIdentity(home: string): Promise<Identity> {
  const file = join(home, IDENTITY_FILE);
  let text: string;
  let mode: number;
  try {
    mode = (await stat(file)).mode;
    text = await readFile(file, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT")
      throw new AgentExit(
        EXIT.usage,
        `This host is not registered: ${file} does not exist. Run \`railhead agent register --url … --token-file …\` first.`,
      );
    throw new AgentExit(EXIT.usage, `${file} cannot be read: ${messageOf(error)}`);
  }
  if ((mode & OTHERS_MAY) !== 0)
    throw new AgentExit(
      EXIT.usage,
      `Others can read ${file}, which holds this agent's key. Run \`chmod 600 ${file}\`; if others may have read it, remove the agent and register again.`,
    );
  const parsed = identitySchema.safeParse(parseJson(text));
  if (parsed.success) return parsed.data;
  throw new AgentExit(
    EXIT.usage,
    `${file} is damaged (${parsed.error.issues[0]?.path.join(".") || "no JSON"}). Register again with --force.`,
  );
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
