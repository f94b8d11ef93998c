/** An operator's requests and an agent's control socket, against a Worker that runs. */
import assert from "node:assert/strict";
import type { webcrypto } from "node:crypto";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import WebSocket from "ws";
import { PROOF_ALGORITHM, PROOF_AUDIENCE } from "../../shared/identity.ts";
import { type ControlDown, type ControlUp, parseControlDown } from "../../shared/protocol.ts";
import { until } from "../support/until.ts";

export const ADMIN = "admin-token-of-these-tests-1234";
export const SECRETS = { RAILHEAD_TOKEN: ADMIN, RAILHEAD_SECRET: "s".repeat(44) };

export type Registered = { agent: string; key: webcrypto.CryptoKey };

export const HELLO: Extract<ControlUp, { t: "hello" }> = {
  t: "hello",
  protocol: 1,
  version: "0.0.0",
  instance: "first",
  engine: "engine",
  capacity: 1,
  labels: {},
  recipes: ["go"],
  unwell: null,
  draining: false,
  held: [],
};

/** The body of an answer that must have this status. */
export async function json<T>(response: Response, status: number): Promise<T> {
  const text = await response.text();
  assert.equal(response.status, status, text);
  return JSON.parse(text) as T;
}

/** Whoever has the admin token, or the one of a request. */
export class Operator {
  readonly base: string;
  readonly #token: string;

  constructor(base: string, token = ADMIN) {
    this.base = base;
    this.#token = token;
  }

  call(path: string, init: RequestInit & { token?: string } = {}): Promise<Response> {
    const { token = this.#token, ...rest } = init;
    const headers = {
      authorization: `Bearer ${token}`,
      ...(rest.body === undefined ? {} : { "content-type": "application/json" }),
    };
    return fetch(`${this.base}${path}`, { headers, ...rest });
  }

  async register(name: string, pool = "default"): Promise<Registered> {
    const { publicKey, privateKey } = await generateKeyPair(PROOF_ALGORITHM, { crv: "Ed25519" });
    const { kty, crv, x } = await exportJWK(publicKey);
    const body = JSON.stringify({ name, pool, labels: {}, public_key: { kty, crv, x } });
    const response = await this.call("/agent/register", { method: "POST", body });
    const { agent } = await json<{ agent: string }>(response, 201);
    return { agent, key: privateKey };
  }

  async nonceOf(agent: string): Promise<string> {
    const response = await fetch(`${this.base}/agent/nonce?agent=${agent}`);
    return (await json<{ nonce: string }>(response, 200)).nonce;
  }

  /** Opens a control socket with that proof. */
  dial(agent: string, proof: string): ControlLine {
    return new ControlLine(
      `${this.base.replace("http", "ws")}/agent/control?agent=${agent}`,
      proof,
    );
  }

  /** Proves to be the agent and says hello. */
  async connect(registered: Registered, hello: Partial<typeof HELLO> = {}): Promise<ControlLine> {
    const nonce = await this.nonceOf(registered.agent);
    const line = this.dial(registered.agent, await prove(registered, nonce));
    assert.equal(await line.opened, 101);
    line.say({ ...HELLO, ...hello });
    return line;
  }
}

export async function prove({ agent, key }: Registered, nonce: string): Promise<string> {
  return new SignJWT({ aud: PROOF_AUDIENCE, sub: agent, nonce })
    .setProtectedHeader({ alg: PROOF_ALGORITHM })
    .sign(key);
}

/** A control socket and all that came over it. */
export class ControlLine {
  readonly socket: WebSocket;
  readonly frames: ControlDown[] = [];
  /** The status that answered the upgrade. */
  readonly opened: Promise<number>;
  pongs = 0;
  closed: { code: number; reason: string } | null = null;

  constructor(url: string, proof: string) {
    this.socket = new WebSocket(url, {
      headers: { authorization: `Bearer ${proof}` },
      perMessageDeflate: false,
    });
    this.opened = new Promise((resolve, reject) => {
      this.socket.on("open", () => resolve(101));
      this.socket.on("unexpected-response", (_, response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      });
      this.socket.on("error", reject);
    });
    this.socket.on("message", (data) => this.#take(String(data)));
    this.socket.on("close", (code, reason) => {
      this.closed = { code, reason: String(reason) };
    });
  }

  say(frame: ControlUp): void {
    this.socket.send(JSON.stringify(frame));
  }

  /** The next frame of that type, once it is there. */
  next<T extends ControlDown["t"]>(t: T): Promise<Extract<ControlDown, { t: T }>> {
    return until(`a ${t} frame`, () => {
      const at = this.frames.findIndex((frame) => frame.t === t);
      return at === -1 ? null : (this.frames.splice(at, 1)[0] as Extract<ControlDown, { t: T }>);
    });
  }

  end(): Promise<{ code: number; reason: string }> {
    return until("the socket's end", () => this.closed);
  }

  #take(text: string): void {
    if (text === "pong") {
      this.pongs += 1;
      return;
    }
    const parsed = parseControlDown(text);
    assert.ok("frame" in parsed && parsed.frame, text);
    this.frames.push(parsed.frame);
  }
}
