/** The Worker's routes for agents, as worker/api/agents.ts and worker/api/uploads.ts have them. */
import { poolOfAgent } from "../../../shared/identity.ts";
import { Lost } from "../faults.ts";
import { type Kernel, Life } from "../kernel.ts";
import type { Edge } from "./edge.ts";
import { describe, type Problem, type Upgrade } from "./object.ts";
import type { Caller } from "./rpc.ts";
import type { ServerSocket } from "./socket.ts";

export type HttpRequest = {
  url: URL;
  method: string;
  headers: Record<string, string>;
  body: Uint8Array | null;
};
type Answer = { status: number; type: string; body: string };

const JSON_TYPE = "application/json";
const PROBLEM_TYPE = "application/problem+json";
const PART_PATH = /^\/agent\/uploads\/([0-9a-f]{32})\/parts\/(\d+)$/;
const ATTEMPT_PATH = /^\/agent\/builds\/([0-9a-f]{32})\/attempts\/(\d+)$/;

export class Front implements Caller {
  /** The Worker holds nothing: whoever calls through it lives on. */
  readonly life: Life;
  /** Called for each part that was taken. */
  stored: (build: string, attempt: number) => void = () => {};
  readonly #edge: Edge;
  readonly #kernel: Kernel;
  readonly #wrong: (what: string) => void;

  constructor(kernel: Kernel, edge: Edge, wrong: (what: string) => void) {
    this.life = new Life(kernel, "worker");
    this.#edge = edge;
    this.#kernel = kernel;
    this.#wrong = wrong;
  }

  gate(send: () => void): void {
    send();
  }

  async upgrade(url: URL, bearer: string, socket: ServerSocket): Promise<"accepted" | Answer> {
    const upgrade: Upgrade = { path: url.pathname, query: url.searchParams, bearer };
    try {
      const answer = await this.#upgraded(upgrade, socket);
      return answer === "accepted" ? answer : problem(answer);
    } catch (error) {
      return this.#broken("an upgrade", error);
    }
  }

  async answer(request: HttpRequest): Promise<Answer> {
    try {
      const part = PART_PATH.exec(request.url.pathname);
      if (part) return await this.#part(part[1] as string, Number(part[2]), request);
      return await this.#nonce(request.url.searchParams.get("agent") ?? "");
    } catch (error) {
      return this.#broken(request.url.pathname, error);
    }
  }

  #upgraded(upgrade: Upgrade, socket: ServerSocket): Promise<"accepted" | Problem> {
    const build = ATTEMPT_PATH.exec(upgrade.path)?.[1];
    const agent = upgrade.query.get("agent") ?? "";
    const fetch = `GET ${upgrade.path}`;
    if (build !== undefined)
      return this.#edge.buildObject(build).invoke(fetch, (shell) => shell.fetch(upgrade, socket));
    return this.#edge
      .poolObject(poolOfAgent(agent))
      .invoke(fetch, (shell) => shell.fetch(upgrade, socket));
  }

  async #nonce(agent: string): Promise<Answer> {
    const nonce = await this.#edge.pool(this, poolOfAgent(agent)).nonce(agent);
    if (nonce === null) return problem({ status: 404, code: "not_found" });
    const time_ms = Math.floor(this.#kernel.now);
    return { status: 200, type: JSON_TYPE, body: JSON.stringify({ nonce, time_ms }) };
  }

  async #part(upload: string, part: number, { headers, body }: HttpRequest): Promise<Answer> {
    const token = /^Bearer (\S+)$/.exec(headers.authorization ?? "")?.[1] ?? "";
    const ticket = this.#edge.vault.verify(token, Math.floor(this.#kernel.now));
    if (ticket === null || ticket.upload !== upload || ticket.part !== part)
      return problem({ status: 401, code: "unauthorized" });
    const bytes = Buffer.from(body ?? new Uint8Array());
    if (bytes.length !== ticket.size) return problem({ status: 400, code: "bad_checksum" });
    const { bucket } = this.#edge;
    try {
      const etag = await bucket.run(this, `part ${part} of ${ticket.key}`, () => {
        this.stored(ticket.build, ticket.attempt);
        return bucket.contents.putPart(ticket, bytes);
      });
      return { status: 200, type: JSON_TYPE, body: JSON.stringify({ etag }) };
    } catch (error) {
      const text = String(error);
      if (text.includes("10037")) return problem({ status: 400, code: "bad_checksum" });
      if (text.includes("10024")) return problem({ status: 409, code: "attempt_over" });
      throw error;
    }
  }

  /** A Worker's exception is an answer like any other, with a body of ours. */
  #broken(what: string, error: unknown): Answer {
    if (!(error instanceof Lost)) this.#wrong(`${what} throws: ${describe(error)}`);
    return problem({ status: 500, code: "internal" });
  }
}

function problem({ status, code }: Problem): Answer {
  return { status, type: PROBLEM_TYPE, body: JSON.stringify({ code, detail: code }) };
}
