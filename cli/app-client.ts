/** Web apps as the edge serves them: peroku's calls and ours, with one token as Bearer. */
import { on, once } from "node:events";
import type { IncomingMessage } from "node:http";
import { text } from "node:stream/consumers";
import WebSocket from "ws";
import * as z from "zod";
import {
  type AppLine,
  appLineSchema,
  type ProjectRow,
  type ProjectView,
  projectRowSchema,
  projectViewSchema,
} from "../shared/apps.ts";
import { buildIdSchema } from "../shared/builds.ts";
import { EdgeClient, type RequestOptions, refusal, unreachable } from "./edge-client.ts";
import { CliError, EdgeRefusal, EXIT } from "./errors.ts";

/** Milliseconds until a WebSocket must be open. */
const OPEN_MS = 60_000;
const NORMAL = 1000;
const GOING_AWAY = 1001;
/** peroku's own code for a token that is none. */
const INVALID_TOKEN = 4001;

const logidSchema = z.looseObject({ logid: buildIdSchema });
const namesSchema = z.looseObject({ env: z.array(z.string()) });

export type LogsWanted = {
  /** RFC 3339, or seconds since 1970. */
  since?: string;
  /** Lines. */
  tail?: string;
  /** Whether to stay when what there is has been read. */
  follow: boolean;
};

/** No replica of the app can be asked now; another may come. */
export class AppAway extends CliError {}

export class AppClient {
  /** For builds, which show themselves to whoever knows their ids. */
  readonly edge: EdgeClient;
  readonly #token: string | null;

  constructor(url: string, token: string | null) {
    this.edge = new EdgeClient({ url, token: null, gitToken: null });
    this.#token = token;
  }

  async list(): Promise<ProjectRow[]> {
    return this.#json(z.array(projectRowSchema), "GET", "/list");
  }

  /** Throws EdgeRefusal (404) for one that is not there. */
  async project(name: string): Promise<ProjectView> {
    return this.#json(projectViewSchema, "GET", pathOf(name));
  }

  /** Whether it was there. */
  async remove(name: string): Promise<boolean> {
    try {
      await (await this.#request("DELETE", pathOf(name))).body?.cancel();
      return true;
    } catch (error) {
      if (error instanceof EdgeRefusal && error.http === 404) return false;
      throw error;
    }
  }

  /** Deploys a tar.gz; the deploy's log. `query`: project, rule and settings. */
  async run(query: URLSearchParams, body: ReadableStream<Uint8Array>): Promise<string> {
    const headers = { "content-type": "application/gzip" };
    return (await this.#json(logidSchema, "POST", `/run?${query}`, { headers, body })).logid;
  }

  /** `to`: a generation; null for the one that served before. The deploy's log. */
  async rollback(name: string, to: number | null): Promise<string> {
    const path = `${pathOf(name)}/rollback`;
    return (await this.#json(logidSchema, "POST", path, { json: { to } })).logid;
  }

  /** Names of all variables after the change; null unsets. */
  async changeEnv(name: string, changes: Record<string, string | null>): Promise<string[]> {
    return (await this.#json(namesSchema, "PATCH", `${pathOf(name)}/env`, { json: changes })).env;
  }

  /** Cancels the deploy whose log it is. Throws EdgeRefusal where another token posted it. */
  async cancel(logid: string): Promise<Record<string, unknown>> {
    const answer = z.record(z.string(), z.unknown());
    return this.edge.json(answer, "DELETE", `/builds/${logid}`, this.#with({}));
  }

  /** What the app prints, until the edge has no more of it. Throws CliError; AppAway when no replica of it can be asked. */
  async *logs(name: string, { since, tail, follow }: LogsWanted): AsyncGenerator<AppLine> {
    const url = new URL(`${pathOf(name)}/logs`, `${this.edge.url}/`);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    if (since !== undefined) url.searchParams.set("since", since);
    if (tail !== undefined) url.searchParams.set("tail", tail);
    if (!follow) url.searchParams.set("follow", "0");
    const headers = this.#headers();
    const socket = new WebSocket(url, { headers, handshakeTimeout: OPEN_MS });
    // Before it is open: the first frame may come together with the upgrade.
    const frames = on(socket, "message", {
      close: ["close"],
      highWaterMark: 100,
      lowWaterMark: 10,
    });
    const closed = once(socket, "close") as Promise<[code: number, reason: Buffer]>;
    closed.catch(() => {});
    try {
      await this.#opened(socket);
      for await (const [data] of frames) {
        const line = appLineSchema.safeParse(JSON.parse(String(data)));
        if (line.success) yield line.data;
      }
    } catch (error) {
      if (error instanceof CliError) throw error;
      throw unreachable(this.edge.url, undefined, error);
    } finally {
      socket.terminate();
    }
    const [code, reason] = await closed;
    if (code === INVALID_TOKEN) throw this.#refused();
    if (code === GOING_AWAY) throw new AppAway(`${name}: ${reason}.`);
    if (code !== NORMAL) throw unreachable(this.edge.url, "ECONNRESET", reason);
  }

  /** Throws CliError when there is no such log, or no answer. */
  #opened(socket: WebSocket): Promise<void> {
    return new Promise((resolve, reject) => {
      socket.once("open", resolve);
      socket.once("error", reject);
      socket.once("unexpected-response", (_, response: IncomingMessage) => {
        const status = response.statusCode ?? 502;
        text(response)
          .then((said) => refusal(new Response(said, { status })))
          .then(reject, reject);
      });
    });
  }

  async #json<T>(
    schema: z.ZodType<T>,
    method: string,
    path: string,
    options: RequestOptions = {},
  ): Promise<T> {
    return this.#allowed(this.edge.json(schema, method, path, this.#with(options)));
  }

  async #request(method: string, path: string): Promise<Response> {
    return this.#allowed(this.edge.request(method, path, this.#with({})));
  }

  #with(options: RequestOptions): RequestOptions {
    return { ...options, headers: { ...this.#headers(), ...options.headers } };
  }

  #headers(): Record<string, string> {
    return this.#token === null ? {} : { authorization: `Bearer ${this.#token}` };
  }

  async #allowed<T>(answer: Promise<T>): Promise<T> {
    try {
      return await answer;
    } catch (error) {
      throw error instanceof EdgeRefusal && error.http === 403 ? this.#refused() : error;
    }
  }

  #refused(): CliError {
    const what =
      this.#token === null
        ? `${this.edge.url} asks for a token, and none is known for it`
        : `${this.edge.url} refuses the token`;
    return new CliError(
      `${what}: "token" in .peroku.json, PEROKU_TOK or --token-file (railhead token create deploy makes one).`,
      EXIT.refused,
    );
  }
}

function pathOf(project: string): string {
  return `/projects/${encodeURIComponent(project)}`;
}
