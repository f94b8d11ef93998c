/** `register`: makes a key on this host and gives the edge its public half. */
import { chmod, mkdir } from "node:fs/promises";
import { type RegisterRequest, registeredSchema, registerSchema } from "../shared/identity.ts";
import { call, EdgeRefusal, edgeUrl } from "./edge.ts";
import { AgentExit, EXIT, messageOf } from "./errors.ts";
import { hasIdentity, type Identity, makeKey, saveIdentity } from "./identity.ts";

export type Registration = {
  home: string;
  url: string;
  /** Registration token (scope agent). Secret. */
  token: string;
  name: string;
  pool: string;
  labels: Record<string, string>;
  /** Take the place of an identity that is already there. */
  force: boolean;
};

/** @throws AgentExit with what to do. Nothing is written unless the edge agreed. */
export async function register(registration: Registration): Promise<Identity> {
  const { home, token, name, pool, labels, force } = registration;
  const url = checkedUrl(registration.url);
  if (!force && (await hasIdentity(home)))
    throw new AgentExit(
      EXIT.usage,
      `${home} holds the identity of an agent already. Use another --home, or --force to replace it.`,
    );
  await mkdir(home, { recursive: true, mode: 0o700 });
  await chmod(home, 0o700);
  const key = await makeKey();
  const { kty, crv, x } = key;
  const request = checkedRequest({ name, pool, labels, public_key: { kty, crv, x } });
  try {
    const registered = await call(
      edgeUrl(url, "agent/register"),
      {
        method: "POST",
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        body: JSON.stringify(request),
      },
      registeredSchema,
    );
    const identity: Identity = { url, key, ...registered };
    await saveIdentity(home, identity);
    return identity;
  } catch (error) {
    const refused = error instanceof EdgeRefusal;
    const hint =
      refused && error.status === 401
        ? " Make a new registration token with `railhead token create agent`."
        : "";
    throw new AgentExit(
      refused ? EXIT.refused : EXIT.failed,
      `Not registered: ${messageOf(error)}${hint}`,
    );
  }
}

function checkedUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !["http:", "https:"].includes(url.protocol) || url.search || url.hash)
    throw new AgentExit(
      EXIT.usage,
      "--url must be the address of the Worker, such as https://railhead.example",
    );
  if (url.username || url.password)
    throw new AgentExit(EXIT.usage, "--url must not hold a credential: use --token-file");
  return url.href.replace(/\/+$/, "");
}

function checkedRequest(request: RegisterRequest): RegisterRequest {
  const parsed = registerSchema.safeParse(request);
  if (parsed.success) return parsed.data;
  const key = parsed.error.issues[0]?.path[0];
  throw new AgentExit(
    EXIT.usage,
    `--${String(key)} is malformed: use letters, digits, dots and dashes`,
  );
}
