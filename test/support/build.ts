import assert from "node:assert/strict";
import type { AttemptDown, AttemptUp } from "../../shared/protocol.ts";
import type { ErlangTarget } from "../../shared/recipes/erlang.ts";
import type { GoTarget } from "../../shared/recipes/go.ts";
import { type Target, targetKey } from "../../shared/recipes/index.ts";
import type { ReplicaBuilt } from "../../worker/core/app-contracts.ts";
import { BuildCore } from "../../worker/core/build.ts";
import type { Mailer } from "../../worker/core/build-ports.ts";
import type {
  BuildRequest,
  BuildSummary,
  EnqueueAnswer,
  Job,
  LogPage,
  QueuePlace,
  TargetAnswer,
} from "../../worker/core/contracts.ts";
import { manifestKey } from "../../worker/core/manifest.ts";
import type { Ticket } from "../../worker/core/ticket.ts";
import { openCatalog } from "./catalog.ts";
import { virtualPorts } from "./ports.ts";
import { MemoryStore, sha256 } from "./store.ts";

export const BUILD_ID = "0123456789abcdef0123456789abcdef";
export const AGENT = { agent: "default.00000000000000a1", name: "smithy", instance: "p1" };
/** The place of a build that starts as soon as an agent takes it. */
export const NEXT: QueuePlace = { position: 1, expected_wait_ms: 0, why: null, held_back: [] };
const WAITING: BuildSummary = {
  build_id: "",
  state: "queued",
  class: null,
  reason: null,
  position: null,
  queue: null,
  attempt: 0,
  commit: null,
};
const OTHER_AGENT = { agent: "default.00000000000000b2", name: "forge", instance: "p2" };

export const TARGET: GoTarget = {
  recipe: "go",
  remote: "github.com",
  path: ["owner", "tool"],
  goos: "linux",
  goarch: "amd64",
  version: "v1.2.3",
  make: null,
  commit: "c".repeat(40),
  visibility: "public",
  advertised: true,
};

export const PACKAGE: ErlangTarget = {
  recipe: "erlang",
  asked: {
    kind: "package",
    remote: "github.com",
    path: ["acme", "web"],
    namespace: "acme",
    name: "web",
    ref: null,
    notify: true,
    depth: 0,
  },
  erl: null,
  visibility: "public",
};

export function requestOf(more: Partial<BuildRequest> = {}, target: Target = TARGET): BuildRequest {
  return {
    key: targetKey(target),
    target,
    pool: "default",
    caller: "token:t1",
    credential: null,
    ...more,
  };
}

/** Another object answers in a later event, never within this one's microtasks. */
const aCallTakesTime = () => new Promise<void>((resolve) => setImmediate(resolve));

type DownOf<T extends AttemptDown["t"]> = Extract<AttemptDown, { t: T }>;

/** One Build over memory, virtual time, a scripted pool and a bucket with faults. */
export class BuildWorld {
  readonly ports = virtualPorts();
  readonly store = new MemoryStore();
  readonly sent: { attempt: number; frame: AttemptDown }[] = [];
  readonly closed: { attempt: number; code: number; reason: string }[] = [];
  readonly jobs: Job[] = [];
  /** What the App was told. */
  readonly built: ReplicaBuilt[] = [];
  readonly told: { verb: string; body: unknown }[] = [];
  /** What other objects know, and what was asked of Targets. */
  readonly catalog = openCatalog().store;
  readonly requests: BuildRequest[] = [];
  catalogIsDown = false;
  answer: (request: BuildRequest) => TargetAnswer = (request) => ({
    kind: "admitted",
    build: { ...WAITING, build_id: request.id ?? "" },
  });
  /** What the next objects are given to send mail with. */
  mail: Mailer | null = null;
  admission: () => EnqueueAnswer = () => ({ kind: "ok", place: NEXT });
  /** What `timer.after` was asked for, to be fired by `fireTimers`. */
  readonly #timers = new Set<() => void>();
  readonly #work = new Set<Promise<void>>();
  #life = 0;
  build: BuildCore;

  constructor() {
    this.build = this.#wake();
  }

  /** The object dies, with whatever it had under way, and is woken again over what it had stored. */
  async restart(): Promise<void> {
    this.build = this.#wake();
    this.build.resume();
    await this.settle();
  }

  #wake(): BuildCore {
    const life = ++this.#life;
    // What a dead object still has under way reaches nobody.
    const alive = () => {
      if (life !== this.#life) throw new Error("this object is gone");
    };
    const { ports, store } = this;
    return new BuildCore({
      ...ports,
      store,
      timer: {
        after: () => {
          const { promise, resolve } = Promise.withResolvers<void>();
          this.#timers.add(resolve);
          return { done: promise, cancel: () => this.#timers.delete(resolve) };
        },
      },
      vault: {
        unseal: async (sealed) => (sealed.startsWith("sealed:") ? sealed.slice(7) : null),
        sign: async (ticket) => JSON.stringify(ticket),
        digest: async (text) => sha256(text),
      },
      mail: this.mail,
      sockets: {
        send: (attempt, frame) => this.sent.push({ attempt, frame }),
        close: (attempt, code, reason) => this.closed.push({ attempt, code, reason }),
      },
      app: () => ({ built: async (end) => void this.built.push(end) }),
      pool: () => ({
        enqueue: async (job) => {
          await aCallTakesTime();
          alive();
          this.jobs.push(job);
          return this.admission();
        },
        withdraw: async (_build, reason) => {
          await aCallTakesTime();
          alive();
          this.told.push({ verb: "withdraw", body: reason });
        },
        ended: async (ended) => {
          await aCallTakesTime();
          alive();
          this.told.push({ verb: "ended", body: ended });
        },
        place: async () => {
          await aCallTakesTime();
          return { ...NEXT, position: 3 };
        },
      }),
      catalog: () => ({
        put: async (record) => {
          await aCallTakesTime();
          alive();
          if (this.catalogIsDown) throw new Error("the Catalog does not answer");
          this.told.push({ verb: "catalog", body: record.state });
          this.catalog.builds.put(record);
        },
        claim: async (claim) => {
          await aCallTakesTime();
          alive();
          return this.catalog.packages.claim(claim);
        },
        packages: async (query) => {
          await aCallTakesTime();
          return this.catalog.packages.packages(query);
        },
      }),
      poolFor: (recipe, repository) =>
        repository.startsWith("github.com/") ? `pool of ${recipe}` : null,
      target: (key) => ({
        request: async (request) => {
          await aCallTakesTime();
          alive();
          assert.equal(key, request.key);
          this.requests.push(request);
          return this.answer(request);
        },
      }),
      background: (work) => {
        this.#work.add(work);
        void work.finally(() => this.#work.delete(work));
      },
      report: () => {},
    });
  }

  /** Lets everything that the object has begun come to its end. */
  async settle(): Promise<void> {
    while (this.#work.size > 0) await Promise.all(this.#work);
  }

  /** Moves time to the alarm and rings it. */
  async ring(): Promise<void> {
    const at = this.ports.alarm.at;
    assert.ok(at !== null, "an alarm is armed");
    this.ports.alarm.at = null;
    this.ports.clock.advance(Math.max(at - this.ports.clock.now(), 0));
    await this.build.alarm();
    await this.settle();
  }

  /** Rings until no alarm is armed any more. */
  async ringOut(): Promise<void> {
    for (let rings = 0; this.ports.alarm.at !== null; rings++) {
      assert.ok(rings < 1_000, "the alarms come to an end");
      await this.ring();
    }
  }

  fireTimers(): void {
    for (const resolve of this.#timers) resolve();
  }

  async open(request = requestOf()): Promise<void> {
    const answer = await this.build.ensure(BUILD_ID, request);
    assert.equal(answer.kind, "ok");
    await this.settle();
  }

  /** Mints the next attempt and confirms its start. */
  async start(n = 1, agent = n % 2 === 1 ? AGENT : OTHER_AGENT): Promise<string> {
    const begun = await this.build.begin(n, agent);
    assert.ok(begun.kind === "ok");
    await this.receive(n, { t: "start", protocol: 1, instance: agent.instance, workspace: "/w" });
    return begun.lease;
  }

  async receive(n: number, frame: AttemptUp): Promise<void> {
    await this.build.receive(n, frame);
    await this.settle();
  }

  /** Sends log lines; each is [seq, text]. */
  async say(n: number, ...lines: [number, string][]): Promise<void> {
    const entries = lines.map(([seq, msg]) => ({
      seq,
      time: "2026-01-01T00:00:00.000Z",
      level: "info" as const,
      msg,
      stream: "stdout" as const,
    }));
    await this.receive(n, { t: "log", entries });
  }

  /** Uploads one small file; its upload id. */
  async upload(
    n: number,
    name: string,
    bytes: Buffer,
    upload = sha256(name).slice(0, 32),
  ): Promise<string> {
    const since = this.sent.length;
    await this.receive(n, {
      t: "upload",
      upload,
      name,
      size: bytes.length,
      sha256: sha256(bytes),
      content_type: "application/gzip",
    });
    const { parts, part_size } = this.last("upload_ready", since);
    const etags: { part: number; etag: string }[] = [];
    for (let part = 1; part <= parts; part++) {
      await this.receive(n, { t: "ticket", upload, part });
      const ticket = JSON.parse(this.last("ticket", since).ticket) as Ticket;
      const slice = bytes.subarray((part - 1) * part_size, part * part_size);
      assert.equal(ticket.size, slice.length);
      etags.push({ part, etag: this.store.putPart(ticket, slice) });
    }
    await this.receive(n, { t: "uploaded", upload, parts: etags });
    return upload;
  }

  async result(n: number, more: Partial<Extract<AttemptUp, { t: "result" }>> = {}): Promise<void> {
    await this.receive(n, {
      t: "result",
      outcome: "succeeded",
      class: null,
      reason: null,
      last_seq: 0,
      uploads: [],
      repositories: [],
      phases: { build: 5 },
      ...more,
    });
  }

  /** A whole good attempt. */
  async succeed(n = 1): Promise<void> {
    await this.start(n);
    await this.say(n, [1, "compiling"]);
    const upload = await this.upload(n, "tool_linux_amd64.tar.gz", Buffer.from("archive"));
    await this.result(n, { last_seq: 1, uploads: [upload] });
  }

  /** The newest frame of a type, of those sent after the first `since`. */
  last<T extends AttemptDown["t"]>(t: T, since = 0): DownOf<T> {
    const found = this.sent.slice(since).findLast(({ frame }) => frame.t === t);
    assert.ok(found, `a frame ${t} was sent`);
    return found.frame as DownOf<T>;
  }

  count(t: AttemptDown["t"]): number {
    return this.sent.filter(({ frame }) => frame.t === t).length;
  }

  async state(): Promise<string | undefined> {
    return (await this.build.summary())?.state;
  }

  async messages(): Promise<string[]> {
    const page = (await this.build.log(0, 1_000_000, 0)) as LogPage;
    return page.entries.map(({ msg }) => msg);
  }

  /** The log as it lies in the bucket. */
  copiedLog(key = `logs/${BUILD_ID}.ndjson`): string[] {
    const text = this.store.objects.get(key)?.bytes.toString() ?? "";
    return text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line).msg);
  }

  publication(key = targetKey(TARGET)): { build_id: string; files: { key: string }[] } | null {
    const object = this.store.objects.get(manifestKey(key));
    return object ? JSON.parse(object.bytes.toString()) : null;
  }
}
