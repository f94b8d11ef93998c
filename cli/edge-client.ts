/** The edge as the CLI sees it: requests with the caller's tokens, refusals as errors with one clear line. */
import * as z from "zod";
import { type BuildRecord, buildRecordSchema } from "../shared/builds.ts";
import { type AgentView, agentViewSchema } from "../shared/identity.ts";
import { CliError, EdgeRefusal, EXIT, messageOf, systemCode } from "./errors.ts";

/** Milliseconds until the head of an answer must be there. */
const ANSWER_MS = 60_000;
/** The same, for a request whose body is long. */
const UPLOAD_MS = 30 * 60_000;

const NETWORK: Record<string, string> = {
  ECONNREFUSED: "nothing listens there. Is the edge running, and is the address right?",
  ENOTFOUND: "there is no such host. Check the address.",
  EAI_AGAIN: "the host's name cannot be looked up. Check the network.",
  ECONNRESET: "the connection was cut. Try again.",
  UND_ERR_SOCKET: "the connection was cut. Try again.",
  ETIMEDOUT: "it does not answer. Check the network.",
  EHOSTUNREACH: "there is no way to that host. Check the network.",
  ENETUNREACH: "there is no way to that network. Check the network.",
  DEPTH_ZERO_SELF_SIGNED_CERT: "its certificate is self-signed.",
  SELF_SIGNED_CERT_IN_CHAIN: "its certificate is of an authority that is not known here.",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "its certificate is of an authority that is not known here.",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "its certificate is of an authority that is not known here.",
  ERR_TLS_CERT_ALTNAME_INVALID: "its certificate is for another host.",
  CERT_NOT_YET_VALID: "its certificate is not valid yet. Is the clock right?",
  CERT_HAS_EXPIRED: "its certificate has expired.",
  ERR_SSL_WRONG_VERSION_NUMBER: "it does not speak TLS. Write http:// before the address.",
  ERR_SSL_PACKET_LENGTH_TOO_LONG: "it does not speak TLS. Write http:// before the address.",
};

const tokenViewSchema = z.object({
  id: z.string(),
  scope: z.string(),
  name: z.string(),
  created_at: z.string(),
  expires_at: z.string().nullable(),
  last_used_at: z.string().nullable(),
});
export type TokenView = z.infer<typeof tokenViewSchema>;
const createdTokenSchema = z.looseObject({ token: z.string(), id: z.string() });
export type CreatedToken = z.infer<typeof createdTokenSchema>;

export type AgentAction = "cordon" | "uncordon" | "drain" | "remove";

export type EdgeOptions = {
  /** Base URL without a final slash. */
  url: string;
  /** One of Railhead's own tokens. */
  token: string | null;
  /** A git host's credential, for private repositories. */
  gitToken: string | null;
};

export type RequestOptions = {
  headers?: Record<string, string>;
  json?: unknown;
  /** A body that is sent as it is read; `headers` say what it is. */
  body?: ReadableStream<Uint8Array>;
  signal?: AbortSignal;
  /** Answer redirects and 304 instead of following and throwing. */
  manual?: boolean;
};

export class EdgeClient {
  readonly url: string;
  readonly #token: string | null;
  readonly #gitToken: string | null;

  constructor({ url, token, gitToken }: EdgeOptions) {
    this.url = url;
    this.#token = token;
    this.#gitToken = gitToken;
  }

  /**
   * One request; `path` is a path or a URL of this edge. Throws EdgeRefusal for 4xx and 5xx, CliError
   * (unreachable) when there is no answer.
   */
  async request(method: string, path: string, options: RequestOptions = {}): Promise<Response> {
    const url = new URL(path, `${this.url}/`);
    if (url.origin !== new URL(this.url).origin)
      throw new CliError(`${url.origin} is not the edge at ${this.url}.`, EXIT.usage);
    const timeout = new AbortController();
    const timer = setTimeout(() => timeout.abort(), options.body ? UPLOAD_MS : ANSWER_MS);
    let response: Response;
    try {
      response = await fetch(url, {
        method,
        redirect: options.manual ? "manual" : "follow",
        headers: { ...this.#headers(), ...options.headers, ...jsonHeader(options.json) },
        ...(options.json === undefined ? {} : { body: JSON.stringify(options.json) }),
        ...(options.body === undefined ? {} : { body: options.body, duplex: "half" }),
        signal: AbortSignal.any([timeout.signal, ...(options.signal ? [options.signal] : [])]),
      });
    } catch (error) {
      if (options.signal?.aborted) throw error;
      // A body that failed while it was read says why itself.
      const failed =
        error instanceof Error && error.cause instanceof CliError ? error.cause : error;
      if (failed instanceof CliError) throw failed;
      throw unreachable(this.url, timeout.signal.aborted ? "ETIMEDOUT" : undefined, error);
    } finally {
      clearTimeout(timer);
    }
    if (response.status >= 400) throw await refusal(response);
    return response;
  }

  async build(id: string): Promise<BuildRecord> {
    return await this.json(buildRecordSchema, "GET", `/builds/${id}`);
  }

  async cancel(id: string): Promise<Record<string, unknown>> {
    return await this.json(z.record(z.string(), z.unknown()), "DELETE", `/builds/${id}`);
  }

  async agents(): Promise<AgentView[]> {
    return await this.json(z.array(agentViewSchema), "GET", "/api/agents");
  }

  /** Acts on an agent by its id or name; the agent after it. */
  async actOnAgent(agent: string, action: AgentAction, reason = ""): Promise<AgentView> {
    const path = `/api/agents/${encodeURIComponent(agent)}`;
    return action === "remove"
      ? await this.json(agentViewSchema, "DELETE", path)
      : await this.json(agentViewSchema, "POST", `${path}/${action}`, { json: { reason } });
  }

  /** `expires_in_s`: null for a token without an end. */
  async createToken(
    scope: string,
    name: string,
    expires_in_s: number | null,
  ): Promise<CreatedToken> {
    const json = { scope, name, expires_in_s };
    return await this.json(createdTokenSchema, "POST", "/api/tokens", { json });
  }

  async tokens(): Promise<TokenView[]> {
    return await this.json(z.array(tokenViewSchema), "GET", "/api/tokens");
  }

  async revokeToken(id: string): Promise<void> {
    const response = await this.request("DELETE", `/api/tokens/${encodeURIComponent(id)}`);
    await response.body?.cancel();
  }

  /** An answer of that shape. Throws as `request` does, and CliError (unreachable) for anything else. */
  async json<T>(
    schema: z.ZodType<T>,
    method: string,
    path: string,
    options?: RequestOptions,
  ): Promise<T> {
    const response = await this.request(method, path, options);
    const body: unknown = await response.json().catch(() => null);
    const result = schema.safeParse(body);
    if (result.success) return result.data;
    throw new CliError(
      `${this.url} did not answer ${method} ${path} as Railhead does. Is the address right, and is it the same version?`,
      EXIT.unreachable,
    );
  }

  /** `Authorization` on a Go path is the git host's, so our own token has a header of its own. */
  #headers(): Record<string, string> {
    return {
      accept: "application/json",
      "user-agent": "railhead",
      ...(this.#token === null ? {} : { "railhead-token": this.#token }),
      ...(this.#gitToken === null ? {} : { authorization: gitAuthorization(this.#gitToken) }),
    };
  }
}

/** A bare token becomes `token …`; what has a scheme of its own goes as it is. */
function gitAuthorization(token: string): string {
  return /^(?:basic|bearer|token) /i.test(token) ? token : `token ${token}`;
}

function jsonHeader(json: unknown): Record<string, string> {
  return json === undefined ? {} : { "content-type": "application/json" };
}

/** The error that says why there was no answer. */
export function unreachable(url: string, code: string | undefined, error: unknown): CliError {
  const reason = code ?? systemCode(error) ?? "";
  // fetch says "fetch failed", and why in its cause.
  const said = messageOf(error instanceof TypeError && error.cause ? error.cause : error);
  const why = NETWORK[reason] ?? `${said}${reason === "" ? "" : ` (${reason})`}.`;
  return new CliError(`Cannot reach ${url}: ${why}`, EXIT.unreachable);
}

/** What the edge says against a request, as it stands in its answer. */
export async function refusal(response: Response): Promise<EdgeRefusal> {
  const text = await response.text().catch(() => "");
  let body: Record<string, unknown> = {};
  try {
    body = z.record(z.string(), z.unknown()).parse(JSON.parse(text));
  } catch {
    // not ours, or from a seed's own endpoint: its text is the message
  }
  const { code, title, detail, type: _type, status: _status, ...members } = body;
  const said = [detail, title].find((part) => typeof part === "string" && part !== "");
  const plain = text.trim().split("\n")[0]?.slice(0, 300);
  const message =
    typeof said === "string"
      ? said
      : plain || `The edge answered ${response.status} ${response.statusText}.`;
  return new EdgeRefusal(message, {
    http: response.status,
    code: typeof code === "string" ? code : null,
    members,
    location: response.headers.get("location"),
  });
}
