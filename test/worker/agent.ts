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

/** What the agent's host has: Erlang packages are built for these versions, images with secrets too. */
const LABELS = { erlang: "25,27", buildkit: "yes" };

/** A socket whose frames wait until they are asked for. */
export class Frames<Down extends { t: string }, Up> {
  readonly socket: WebSocket;
  /** Close code of the socket, once it is closed. */
  readonly closed: Promise<number>;
  readonly #come: Down[] = [];
  #wake: () => void = () => {};

  constructor(socket: WebSocket, seen: (frame: Down) => void = () => {}) {
    this.socket = socket;
    this.closed = new Promise((resolve) => socket.once("close", resolve));
    socket.on("message", (data, isBinary) => {
      if (isBinary) return;
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

  /** The next frame of one of these types; others before it are dropped. Throws when the socket is closed instead. */
  async next<T extends Down["t"]>(...types: T[]): Promise<Extract<Down, { t: T }>> {
    for (;;) {
      const frame = this.#come.shift();
      if (frame !== undefined && (types as string[]).includes(frame.t))
        return frame as Extract<Down, { t: T }>;
      if (frame !== undefined) continue;
      const come = new Promise<null>((resolve) => {
        this.#wake = () => resolve(null);
      });
      const code = await Promise.race([come, this.closed]);
      if (code !== null && this.#come.length === 0)
        throw new Error(`closed with ${code} before a frame ${types.join(" or ")} came`);
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
  /** Its id at the edge. */
  id: string;
  /** The next attempt that is assigned, accepted and started. */
  attempt(): Promise<TestAttempt>;
  /** A further control socket of the same agent, before its hello. */
  dial(): Promise<Frames<ControlDown, ControlUp>>;
  close(): void;
};

/** Registers an agent for `default` at the edge, with a token that may, and connects it. */
export async function startAgent(
  url: string,
  capacity = 8,
  token = ADMIN_TOKEN,
): Promise<TestAgent> {
  const { publicKey, privateKey } = await generateKeyPair(PROOF_ALGORITHM, { extractable: true });
  const { kty, crv, x } = await exportJWK(publicKey);
  const registered = await fetch(`${url}/agent/register`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify({
      name: `agent-${randomBytes(4).toString("hex")}`,
      pool: "default",
      labels: LABELS,
      public_key: { kty, crv, x },
    }),
  });
  const { agent } = (await registered.json()) as { agent: string };
  const connect = async (seen?: (frame: ControlDown) => void) => {
    const answer = await fetch(`${url}/agent/nonce?agent=${agent}`);
    const { nonce } = (await answer.json()) as { nonce: string };
    const proof = await new SignJWT({ aud: PROOF_AUDIENCE, sub: agent, nonce })
      .setProtectedHeader({ alg: PROOF_ALGORITHM })
      .sign(privateKey);
    return dial<ControlDown, ControlUp>(`${url}/agent/control?agent=${agent}`, proof, seen);
  };
  const control = await connect((frame) => {
    // At once, whenever the test gets round to it: the edge waits two seconds for this.
    if (frame.t !== "assign") return;
    const { build, attempt } = frame;
    control.send({ t: "accept", build, attempt });
  });
  const alive = setInterval(() => control.socket.send(PING), PING_INTERVAL_MS);
  const instance = randomBytes(8).toString("hex");
  control.send({
    t: "hello",
    protocol: PROTOCOL_VERSION,
    version: "test",
    instance,
    engine: randomBytes(8).toString("hex"),
    capacity,
    labels: LABELS,
    recipes: ["go", "image", "erlang", "app"],
    unwell: null,
    draining: false,
    held: [],
  });
  await control.next("welcome");
  return {
    id: agent,
    dial: () => connect(),
    async attempt() {
      const { build, attempt, lease, target } = await control.next("assign");
      const open = async () => {
        const path = `/agent/builds/${build}/attempts/${attempt}`;
        const socket = await dial<AttemptDown, AttemptUp>(url + path, lease);
        socket.send({ t: "start", protocol: PROTOCOL_VERSION, instance, workspace: "w" });
        return socket;
      };
      const socket = await open();
      const { credentials } = await socket.next("ready");
      const done = () => control.send({ t: "done", build, attempt });
      const context = (headers: Record<string, string> = {}) =>
        fetch(`${url}/agent/builds/${build}/attempts/${attempt}/context`, {
          headers: { authorization: `Bearer ${lease}`, ...headers },
        });
      return new TestAttempt(url, build, target, credentials, socket, open, done, context);
    },
    close() {
      clearInterval(alive);
      control.socket.close();
    },
  };
}

/** A file as an agent announces it. */
export type Announced = Omit<Extract<AttemptUp, { t: "upload" }>, "t" | "upload">;
type Answer<T extends AttemptDown["t"]> = Extract<AttemptDown, { t: T | "upload_failed" }>;

/** What an honest agent announces of these bytes. */
export function fileOf(name: string, bytes: Uint8Array): Announced {
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  return { name, size: bytes.length, sha256, content_type: "application/gzip" };
}

/** One attempt that has started. */
export class TestAttempt {
  readonly build: string;
  readonly target: Target;
  /** Authorization values for the fetch. */
  readonly credentials: string[];
  /** A further socket of the same attempt, started. */
  readonly dial: () => Promise<Frames<AttemptDown, AttemptUp>>;
  readonly socket: Frames<AttemptDown, AttemptUp>;
  /** Asks for the context that the build was posted with. */
  readonly context: (headers?: Record<string, string>) => Promise<Response>;
  readonly #url: string;
  readonly #done: () => void;
  /** Ids of all uploads that were announced. */
  readonly announced: string[] = [];
  #seq = 0;

  constructor(
    url: string,
    build: string,
    target: Target,
    credentials: string[],
    socket: Frames<AttemptDown, AttemptUp>,
    open: () => Promise<Frames<AttemptDown, AttemptUp>>,
    done: () => void,
    context: TestAttempt["context"],
  ) {
    this.dial = open;
    this.context = context;
    this.#url = url;
    this.build = build;
    this.target = target;
    this.credentials = credentials;
    this.socket = socket;
    this.#done = done;
  }

  /** Logs lines of the container's stdout, or of our own, and waits until they are stored. */
  async say(lines: string[], stream: AgentEntry["stream"] = "stdout"): Promise<void> {
    const entries = lines.map((msg): AgentEntry => {
      this.#seq++;
      const time = new Date().toISOString();
      return { seq: this.#seq, time, level: "info", msg, ...(stream ? { stream } : {}) };
    });
    this.socket.send({ t: "log", entries });
    while ((await this.socket.next("ack")).seq < this.#seq);
  }

  /** Says what it is busy with, and waits until the edge has taken it. */
  async phase(phase: string): Promise<void> {
    this.socket.send({ t: "phase", phase });
    await this.permit();
  }

  /** Asks whether it may still push. */
  async permit(): Promise<void> {
    this.socket.send({ t: "permit" });
    await this.socket.next("permit_ok");
  }

  /** Uploads a file as an honest agent does. */
  async upload(name: string, bytes: Uint8Array): Promise<void> {
    const { upload, answer } = await this.announce(fileOf(name, bytes));
    if (answer.t === "upload_failed") throw new Error(answer.message);
    const parts: { part: number; etag: string }[] = [];
    for (let part = 1; part <= answer.parts; part++) {
      const body = bytes.subarray((part - 1) * answer.part_size, part * answer.part_size);
      parts.push({ part, etag: await this.sendPart(upload, part, body) });
    }
    const end = await this.uploaded(upload, parts);
    if (end.t === "upload_failed") throw new Error(end.message);
  }

  /** Announces a file, truly or not; its result will name it. */
  async announce(file: Announced): Promise<{ upload: string; answer: Answer<"upload_ready"> }> {
    const upload = randomBytes(16).toString("hex");
    this.announced.push(upload);
    this.socket.send({ t: "upload", upload, ...file });
    return { upload, answer: await this.socket.next("upload_ready", "upload_failed") };
  }

  /** Puts a part under a fresh ticket; its etag. Throws what the edge answers instead. */
  async sendPart(upload: string, part: number, body: Uint8Array): Promise<string> {
    const response = await this.putPart(upload, part, await this.ticket(upload, part), body);
    if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
    return ((await response.json()) as { etag: string }).etag;
  }

  async uploaded(
    upload: string,
    parts: { part: number; etag: string }[],
  ): Promise<Answer<"upload_ok">> {
    this.socket.send({ t: "uploaded", upload, parts });
    return this.socket.next("upload_ok", "upload_failed");
  }

  async ticket(upload: string, part: number): Promise<string> {
    this.socket.send({ t: "ticket", upload, part });
    return (await this.socket.next("ticket")).ticket;
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
    this.socket.send({
      t: "result",
      class: null,
      reason: null,
      last_seq: this.#seq,
      uploads: this.announced,
      repositories: [],
      phases: {},
      ...end,
    });
    await this.socket.next("result_ok");
    this.#done();
    this.socket.socket.close();
  }

  /** The edge's word to stop. */
  async cancelled(): Promise<string> {
    return (await this.socket.next("cancel")).reason;
  }
}
