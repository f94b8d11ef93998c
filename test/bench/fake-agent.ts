/**
 * An agent without a Docker host: it speaks the real protocol and makes whatever a benchmark wants made, so
 * that what is measured is the edge alone.
 */
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { WebSocket } from "ws";
import { PROOF_ALGORITHM, PROOF_AUDIENCE } from "../../shared/identity.ts";
import { PING_INTERVAL_MS } from "../../shared/limits.ts";
import type { AgentEntry } from "../../shared/log.ts";
import {
  type AttemptDown,
  type AttemptUp,
  type ControlDown,
  PING,
  PONG,
  PROTOCOL_VERSION,
} from "../../shared/protocol.ts";

export type Assign = Extract<ControlDown, { t: "assign" }>;

/** Milliseconds after which a frame that should have come is missed. */
const FRAME_MS = 30_000;

/** A socket as a list of frames that can be awaited by type. */
class Frames<Down extends { t: string }, Up> {
  readonly #socket: WebSocket;
  readonly #waiting = new Set<(frame: Down) => boolean>();

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on("message", (data) => {
      const text = String(data);
      if (text === PONG) return;
      const frame = JSON.parse(text) as Down;
      for (const wants of [...this.#waiting]) wants(frame);
    });
  }

  send(frame: Up): void {
    this.#socket.send(JSON.stringify(frame));
  }

  ping(): void {
    this.#socket.send(PING);
  }

  /** The next frame of the type for which `test` holds. */
  next<T extends Down["t"]>(
    type: T,
    test: (frame: Extract<Down, { t: T }>) => boolean = () => true,
  ): Promise<Extract<Down, { t: T }>> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(wants);
        reject(new Error(`no frame ${type} came`));
      }, FRAME_MS);
      const wants = (frame: Down): boolean => {
        if (frame.t !== type || !test(frame as Extract<Down, { t: T }>)) return false;
        this.#waiting.delete(wants);
        clearTimeout(timer);
        resolve(frame as Extract<Down, { t: T }>);
        return true;
      };
      this.#waiting.add(wants);
    });
  }

  close(): void {
    this.#socket.terminate();
  }
}

async function open(url: string, token: string): Promise<WebSocket> {
  const socket = new WebSocket(url, {
    headers: { authorization: `Bearer ${token}` },
    perMessageDeflate: false,
  });
  await once(socket, "open");
  return socket;
}

export class FakeAgent {
  readonly #url: string;
  readonly #control: Frames<ControlDown, object>;

  readonly #pings: NodeJS.Timeout;

  private constructor(url: string, control: Frames<ControlDown, object>) {
    this.#url = url;
    this.#control = control;
    this.#pings = setInterval(() => control.ping(), PING_INTERVAL_MS);
  }

  /** Registers with the edge's admin token and connects. */
  static async connect(url: string, adminToken: string, capacity: number): Promise<FakeAgent> {
    const { publicKey, privateKey } = await generateKeyPair("Ed25519", { extractable: true });
    const call = async (path: string, token: string | null, body?: unknown) => {
      const response = await fetch(url + path, {
        method: body === undefined ? "GET" : "POST",
        headers: {
          "content-type": "application/json",
          ...(token ? { authorization: `Bearer ${token}` } : {}),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
      return (await response.json()) as Record<string, string>;
    };
    const { token } = await call("/api/tokens", adminToken, { scope: "agent", name: "bench" });
    const { kty, crv, x } = await exportJWK(publicKey);
    const { agent } = await call("/agent/register", token as string, {
      name: `bench-${randomBytes(4).toString("hex")}`,
      pool: "default",
      labels: {},
      public_key: { kty, crv, x },
    });
    const { nonce } = await call(`/agent/nonce?agent=${agent}`, null);
    const proof = await new SignJWT({ nonce })
      .setProtectedHeader({ alg: PROOF_ALGORITHM })
      .setAudience(PROOF_AUDIENCE)
      .setSubject(agent as string)
      .sign(privateKey);
    const socket = await open(`${url.replace("http", "ws")}/agent/control?agent=${agent}`, proof);
    const control = new Frames<ControlDown, object>(socket);
    const welcome = control.next("welcome");
    control.send({
      t: "hello",
      protocol: PROTOCOL_VERSION,
      version: "bench",
      instance: randomBytes(8).toString("hex"),
      engine: "bench",
      capacity,
      labels: {},
      recipes: ["go"],
      unwell: null,
      draining: false,
      held: [],
    });
    await welcome;
    return new FakeAgent(url, control);
  }

  /** The assignment of a build, when it comes. Ask before the build is posted. */
  assigned(test: (frame: Assign) => boolean = () => true): Promise<Assign> {
    return this.#control.next("assign", test);
  }

  /** Takes the build and opens its attempt's socket. */
  async accept({ build, attempt, lease }: Assign): Promise<FakeAttempt> {
    this.#control.send({ t: "accept", build, attempt });
    const socket = await open(
      `${this.#url.replace("http", "ws")}/agent/builds/${build}/attempts/${attempt}`,
      lease,
    );
    const frames = new Frames<AttemptDown, AttemptUp>(socket);
    const ready = frames.next("ready");
    frames.send({
      t: "start",
      protocol: PROTOCOL_VERSION,
      instance: "bench",
      workspace: "bench",
    });
    await ready;
    return new FakeAttempt(this.#url, frames, () =>
      this.#control.send({ t: "done", build, attempt }),
    );
  }

  close(): void {
    clearInterval(this.#pings);
    this.#control.close();
  }
}

export class FakeAttempt {
  readonly #url: string;
  readonly #frames: Frames<AttemptDown, AttemptUp>;
  readonly #done: () => void;
  #seq = 0;
  readonly #uploads: string[] = [];

  constructor(url: string, frames: Frames<AttemptDown, AttemptUp>, done: () => void) {
    this.#url = url;
    this.#frames = frames;
    this.#done = done;
  }

  /** Sends one frame of lines; settles when they are stored. */
  async log(lines: readonly string[]): Promise<void> {
    const time = new Date().toISOString();
    const entries = lines.map((msg): AgentEntry => {
      this.#seq += 1;
      return { seq: this.#seq, time, level: "info", msg, stream: "stdout" };
    });
    const last = this.#seq;
    const acked = this.#frames.next("ack", ({ seq }) => seq >= last);
    this.#frames.send({ t: "log", entries });
    await acked;
  }

  async upload(name: string, bytes: Buffer): Promise<void> {
    const upload = randomBytes(16).toString("hex");
    const ready = this.#frames.next("upload_ready");
    this.#frames.send({
      t: "upload",
      upload,
      name,
      size: bytes.length,
      sha256: createHash("sha256").update(bytes).digest("hex"),
      content_type: "application/gzip",
    });
    const { part_size, parts: count } = await ready;
    const parts: { part: number; etag: string }[] = [];
    for (let part = 1; part <= count; part++) {
      const answered = this.#frames.next("ticket");
      this.#frames.send({ t: "ticket", upload, part });
      const { ticket } = await answered;
      const response = await fetch(`${this.#url}/agent/uploads/${upload}/parts/${part}`, {
        method: "PUT",
        headers: { authorization: `Bearer ${ticket}` },
        body: new Uint8Array(bytes.subarray((part - 1) * part_size, part * part_size)),
      });
      if (!response.ok)
        throw new Error(`part ${part}: ${response.status} ${await response.text()}`);
      parts.push({ part, etag: ((await response.json()) as { etag: string }).etag });
    }
    const ok = this.#frames.next("upload_ok");
    this.#frames.send({ t: "uploaded", upload, parts });
    await ok;
    this.#uploads.push(upload);
  }

  /** Ends the attempt well when something was uploaded, else as a failure. */
  async end(): Promise<void> {
    const succeeded = this.#uploads.length > 0;
    const stored = this.#frames.next("result_ok");
    this.#frames.send({
      t: "result",
      outcome: succeeded ? "succeeded" : "failed",
      class: succeeded ? null : "make_error",
      reason: succeeded ? null : "This was a benchmark.",
      last_seq: this.#seq,
      uploads: this.#uploads,
      repositories: [],
      phases: {},
    });
    await stored;
    this.#frames.close();
    this.#done();
  }
}
