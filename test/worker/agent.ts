/** An agent without a Docker host: it speaks the wire, and the test says what its builds do. */
import { createHash, randomBytes } from "node:crypto";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import WebSocket from "ws";
import { PROOF_ALGORITHM, PROOF_AUDIENCE } from "../../shared/identity.ts";
import { PING_INTERVAL_MS } from "../../shared/limits.ts";
import type { AgentEntry } from "../../shared/log.ts";
import {
  type AttemptDown,
  type AttemptUp,
  type ControlDown,
  type ControlUp,
  PING,
  PONG,
  PROTOCOL_VERSION,
} from "../../shared/protocol.ts";
import type { Target } from "../../shared/recipes/index.ts";
import { ADMIN_TOKEN } from "./edge.ts";

/** A socket whose frames wait until they are asked for. */
class Frames<Down extends { t: string }, Up> {
  readonly socket: WebSocket;
  readonly #come: Down[] = [];
  #wake: () => void = () => {};

  constructor(socket: WebSocket, seen: (frame: Down) => void = () => {}) {
    this.socket = socket;
    socket.on("message", (data) => {
      const text = String(data);
      if (text === PONG) return;
      const frame: Down = JSON.parse(text);
      seen(frame);
      this.#come.push(frame);
      this.#wake();
    });
  }

  send(frame: Up): void {
    this.socket.send(JSON.stringify(frame));
  }

  /** The next frame of a type; others before it are dropped. */
  async next<T extends Down["t"]>(t: T): Promise<Extract<Down, { t: T }>> {
    for (;;) {
      const frame = this.#come.shift();
      if (frame?.t === t) return frame as Extract<Down, { t: T }>;
      if (frame === undefined)
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
    }
  }
}

async function dial<Down extends { t: string }, Up>(
  url: string,
  token: string,
  seen?: (frame: Down) => void,
): Promise<Frames<Down, Up>> {
  const socket = new WebSocket(url.replace(/^http/, "ws"), {
    headers: { authorization: `Bearer ${token}` },
    perMessageDeflate: false,
  });
  const frames = new Frames<Down, Up>(socket, seen);
  await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
  return frames;
}

export type TestAgent = {
  /** The next attempt that is assigned, accepted and started. */
  attempt(): Promise<TestAttempt>;
  close(): void;
};

/** Registers an agent for `default` at the edge and connects it. */
export async function startAgent(url: string, capacity = 8): Promise<TestAgent> {
  const { publicKey, privateKey } = await generateKeyPair(PROOF_ALGORITHM, { extractable: true });
  const { kty, crv, x } = await exportJWK(publicKey);
  const registered = await fetch(`${url}/agent/register`, {
    method: "POST",
    headers: { authorization: `Bearer ${ADMIN_TOKEN}`, "content-type": "application/json" },
    body: JSON.stringify({
      name: `agent-${randomBytes(4).toString("hex")}`,
      pool: "default",
      labels: {},
      public_key: { kty, crv, x },
    }),
  });
  const { agent } = (await registered.json()) as { agent: string };
  const answer = await fetch(`${url}/agent/nonce?agent=${agent}`);
  const { nonce } = (await answer.json()) as { nonce: string };
  const proof = await new SignJWT({ aud: PROOF_AUDIENCE, sub: agent, nonce })
    .setProtectedHeader({ alg: PROOF_ALGORITHM })
    .sign(privateKey);
  const control = await dial<ControlDown, ControlUp>(
    `${url}/agent/control?agent=${agent}`,
    proof,
    (frame) => {
      // At once, whenever the test gets round to it: the edge waits two seconds for this.
      if (frame.t !== "assign") return;
      const { build, attempt } = frame;
      control.send({ t: "accept", build, attempt });
    },
  );
  const alive = setInterval(() => control.socket.send(PING), PING_INTERVAL_MS);
  const instance = randomBytes(8).toString("hex");
  control.send({
    t: "hello",
    protocol: PROTOCOL_VERSION,
    version: "test",
    instance,
    engine: randomBytes(8).toString("hex"),
    capacity,
    labels: {},
    recipes: ["go", "image"],
    unwell: null,
    draining: false,
    held: [],
  });
  await control.next("welcome");
  return {
    async attempt() {
      const { build, attempt, lease, target } = await control.next("assign");
      const socket = await dial<AttemptDown, AttemptUp>(
        `${url}/agent/builds/${build}/attempts/${attempt}`,
        lease,
      );
      socket.send({ t: "start", protocol: PROTOCOL_VERSION, instance, workspace: "w" });
      const { credentials } = await socket.next("ready");
      const done = () => control.send({ t: "done", build, attempt });
      const path = `${url}/agent/builds/${build}/attempts/${attempt}`;
      const context = (headers: Record<string, string> = {}) =>
        fetch(`${path}/context`, { headers: { authorization: `Bearer ${lease}`, ...headers } });
      return new TestAttempt(url, build, target, credentials, socket, done, context);
    },
    close() {
      clearInterval(alive);
      control.socket.close();
    },
  };
}

/** One attempt that has started. */
export class TestAttempt {
  readonly build: string;
  readonly target: Target;
  /** Authorization values for the fetch. */
  readonly credentials: string[];
  /** Asks for the context that the build was posted with. */
  readonly context: (headers?: Record<string, string>) => Promise<Response>;
  readonly #url: string;
  readonly #socket: Frames<AttemptDown, AttemptUp>;
  readonly #done: () => void;
  readonly #uploads: string[] = [];
  #seq = 0;

  constructor(
    url: string,
    build: string,
    target: Target,
    credentials: string[],
    socket: Frames<AttemptDown, AttemptUp>,
    done: () => void,
    context: TestAttempt["context"],
  ) {
    this.context = context;
    this.#url = url;
    this.build = build;
    this.target = target;
    this.credentials = credentials;
    this.#socket = socket;
    this.#done = done;
  }

  /** Logs lines of the container's stdout, or of our own, and waits until they are stored. */
  async say(lines: string[], stream: AgentEntry["stream"] = "stdout"): Promise<void> {
    const entries = lines.map((msg): AgentEntry => {
      this.#seq++;
      const time = new Date().toISOString();
      return { seq: this.#seq, time, level: "info", msg, ...(stream ? { stream } : {}) };
    });
    this.#socket.send({ t: "log", entries });
    while ((await this.#socket.next("ack")).seq < this.#seq);
  }

  /** Says what it is busy with, and waits until the edge has taken it. */
  async phase(phase: string): Promise<void> {
    this.#socket.send({ t: "phase", phase });
    await this.permit();
  }

  /** Asks whether it may still push. */
  async permit(): Promise<void> {
    this.#socket.send({ t: "permit" });
    await this.#socket.next("permit_ok");
  }

  /** Asks for an upload and sends its bytes; answers the status of each part. */
  async upload(name: string, bytes: Uint8Array): Promise<void> {
    const upload = randomBytes(16).toString("hex");
    this.#uploads.push(upload);
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    const size = bytes.length;
    this.#socket.send({
      t: "upload",
      upload,
      name,
      size,
      sha256,
      content_type: "application/gzip",
    });
    const { parts: count, part_size } = await this.#socket.next("upload_ready");
    const parts: { part: number; etag: string }[] = [];
    for (let part = 1; part <= count; part++) {
      const body = bytes.subarray((part - 1) * part_size, part * part_size);
      const response = await this.putPart(upload, part, await this.ticket(upload, part), body);
      parts.push({ part, etag: ((await response.json()) as { etag: string }).etag });
    }
    this.#socket.send({ t: "uploaded", upload, parts });
    await this.#socket.next("upload_ok");
  }

  /** Opens an upload without sending anything; its id. */
  async openUpload(name: string, size: number, sha256: string): Promise<string> {
    const upload = randomBytes(16).toString("hex");
    this.#socket.send({
      t: "upload",
      upload,
      name,
      size,
      sha256,
      content_type: "application/gzip",
    });
    await this.#socket.next("upload_ready");
    return upload;
  }

  async ticket(upload: string, part: number): Promise<string> {
    this.#socket.send({ t: "ticket", upload, part });
    return (await this.#socket.next("ticket")).ticket;
  }

  putPart(
    upload: string,
    part: number,
    ticket: string,
    body: Uint8Array | ReadableStream,
  ): Promise<Response> {
    return fetch(`${this.#url}/agent/uploads/${upload}/parts/${part}`, {
      method: "PUT",
      headers: { authorization: `Bearer ${ticket}` },
      body: body as RequestInit["body"] & {},
      ...(body instanceof ReadableStream ? { duplex: "half" } : {}),
    });
  }

  /** Ends the attempt, and waits until the end is stored. */
  async finish(
    end: Partial<Extract<AttemptUp, { t: "result" }>> & {
      outcome: "succeeded" | "failed" | "cancelled" | "timed_out";
    },
  ): Promise<void> {
    this.#socket.send({
      t: "result",
      class: null,
      reason: null,
      last_seq: this.#seq,
      uploads: this.#uploads,
      repositories: [],
      phases: {},
      ...end,
    });
    await this.#socket.next("result_ok");
    this.#done();
    this.#socket.socket.close();
  }

  /** The edge's word to stop. */
  async cancelled(): Promise<string> {
    return (await this.#socket.next("cancel")).reason;
  }
}
