/** Railhead with web apps on it, deployed as people do: folders with a `.peroku.json`, the command line, requests by host name. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { Agent, type IncomingMessage, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import type { ProjectView } from "../../shared/apps.ts";
import { type BaseImage, makeBaseImage } from "./base-image.ts";
import { readyDocker } from "./docker.ts";
import { type Container, containers, engine } from "./engine.ts";
import { imagesWith } from "./image-stack.ts";
import { type Ran, run } from "./process.ts";
import { openStack, type StackSettings, type TestStack } from "./stack.ts";
import { until } from "./until.ts";

const PEROKU_TOK = "perokus-one-token-0123456789";
const PEROK = join(import.meta.dirname, "../../cli/perok.mjs");
const RAILHEAD = join(import.meta.dirname, "../../cli/bin.mjs");

/** Programs behind `/cgi-bin/` of the app: the type of what they answer, and what prints it. */
const PROGRAMS: Record<string, [type: string, script: string]> = {
  echo: ["application/octet-stream", "exec cat"],
  greeting: ["text/plain", 'echo "$GREETING"'],
  print: ["text/plain", 'echo "$QUERY_STRING" >/proc/1/fd/1'],
  /** A second event once `go` was asked for. */
  events: [
    "text/event-stream",
    'echo "data: first"; echo; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo "data: second"; echo',
  ],
  go: ["text/plain", "echo >/tmp/go"],
  reach: [
    "text/plain",
    'wget -q -T 2 -O - "http://$QUERY_STRING/" && echo reached || echo nothing',
  ],
};
/** What the app runs. */
export const SERVE =
  'echo "serving $VERSION"; echo "careful, $VERSION" >&2; echo "$VERSION" >/www/index.html; exec busybox httpd -f -p 80 -h /www';

export type Answer = { status: number; headers: IncomingMessage["headers"]; body: Buffer };
export type Asking = { method?: string; body?: string | Buffer; agent?: Agent };

export class AppStack {
  readonly stack: TestStack;
  readonly #base: BaseImage;
  readonly #folder: string;

  constructor(stack: TestStack, base: BaseImage, folder: string) {
    this.stack = stack;
    this.#base = base;
    this.#folder = folder;
  }

  /** A project that nobody has deployed yet. `file`: more of its `.peroku.json`. */
  async project(file: object = {}): Promise<TestProject> {
    const name = `app-${randomBytes(4).toString("hex")}`;
    const folder = join(this.#folder, name);
    await mkdir(join(folder, "cgi-bin"), { recursive: true });
    for (const [program, [type, script]] of Object.entries(PROGRAMS)) {
      const text = `#!/bin/sh\necho -ne "Content-Type: ${type}\\r\\n\\r\\n"\n${script}\n`;
      await writeFile(join(folder, "cgi-bin", program), text, { mode: 0o755 });
    }
    const project = new TestProject(this, name, folder, this.#base.name);
    await project.configure(file);
    return project;
  }

  /** Index of the agent with this name. */
  indexOf(name: string | null | undefined): number {
    const [, number] = /^local-(\d+)$/.exec(name ?? "") ?? [];
    assert.ok(number, `"${name}" is no agent of this machine`);
    return Number(number) - 1;
  }

  /** Index of the only agent that serves the project. */
  async agentOf(project: TestProject): Promise<number> {
    return this.indexOf((await project.view()).agents.join());
  }

  /** Lets no other agent begin anything new, until the answered function is called. */
  async only(agent: number): Promise<() => Promise<void>> {
    const others = (await this.stack.agents()).filter(({ name }) => name !== `local-${agent + 1}`);
    const act = async (action: "cordon" | "uncordon") => {
      for (const { agent: id } of others) await this.stack.actOnAgent(id, action);
    };
    await act("cordon");
    return () => act("uncordon");
  }

  /** What agents said of sockets of this project that were cut. */
  async cuts({ name }: TestProject): Promise<string> {
    const logs = [0, 1, 2].map((agent) => readFile(this.stack.agentLog(agent), "utf8"));
    const lines = (await Promise.all(logs)).join("").split("\n");
    return lines
      .filter((line) => line.includes(name) && /disconnected|refused|frame/.test(line))
      .join("\n");
  }

  /** Waits until so many agents can be given work. */
  async connected(count: number): Promise<void> {
    await until(`${count} connected agents`, async () => {
      const agents = await this.stack.agents();
      return agents.filter(({ status }) => status === "connected").length === count;
    });
  }

  /** Takes the names of kept images away whose configuration holds the marker. */
  async forget(marker: string): Promise<void> {
    const names = (await imagesWith(marker)).flatMap((image) => image.split(/[ ,]/));
    const kept = names.filter((name) => name.startsWith("railhead.local/app-"));
    assert.notDeepEqual(kept, []);
    for (const name of kept) await engine("DELETE", `/images/${name}`);
  }

  async close(): Promise<void> {
    try {
      await this.stack.close();
    } finally {
      await this.#base.remove();
      await rm(this.#folder, { recursive: true });
    }
  }
}

export class TestProject {
  readonly name: string;
  readonly folder: string;
  /** In the image's configuration, and so in every image that is made of the project. */
  readonly marker: string;
  readonly #world: AppStack;
  readonly #base: string;

  constructor(world: AppStack, name: string, folder: string, base: string) {
    this.#world = world;
    this.name = name;
    this.folder = folder;
    this.#base = base;
    this.marker = `marker-${name}`;
  }

  get host(): string {
    return `${this.name}.example`;
  }

  get rule(): string {
    return `Host:${this.host}`;
  }

  /** Writes `.peroku.json`. */
  async configure(file: object): Promise<void> {
    const all = {
      token: PEROKU_TOK,
      peroku: this.#world.stack.url,
      project: this.name,
      rule: this.rule,
      ...file,
    };
    await writeFile(join(this.folder, ".peroku.json"), JSON.stringify(all));
  }

  /** Writes a Dockerfile of a version that serves, with more instructions behind. */
  async version(version: string, ...more: string[]): Promise<void> {
    const lines = [
      `FROM ${this.#base}`,
      `ENV VERSION=${version} MARKER=${this.marker}`,
      "COPY cgi-bin /www/cgi-bin",
      `CMD ${JSON.stringify(["sh", "-c", SERVE])}`,
      ...more,
    ];
    await writeFile(join(this.folder, "Dockerfile"), `${lines.join("\n")}\n`);
  }

  perok(...args: string[]): Promise<Ran> {
    return this.#run(PEROK, args);
  }

  railhead(...args: string[]): Promise<Ran> {
    return this.#run(RAILHEAD, args);
  }

  /** Deploys a version that must go live; what `perok up` printed. */
  async up(version: string, ...more: string[]): Promise<string> {
    await this.version(version, ...more);
    const ran = await this.perok("up");
    assert.equal(ran.code, 0, `${ran.stdout}${ran.stderr}`);
    return ran.stdout.toString();
  }

  async down(): Promise<void> {
    const ran = await this.perok("down");
    assert.equal(ran.code, 0, ran.stderr);
  }

  /** A request for the app, sent to the edge; its answer, as far as its head. */
  open(path: string, { method = "GET", body, agent }: Asking = {}): Promise<IncomingMessage> {
    const { hostname, port } = new URL(this.#world.stack.url);
    return new Promise((resolve, reject) => {
      const headers = { host: this.host };
      const options = { hostname, port, path, method, headers, agent: agent ?? false };
      request(options, resolve).on("error", reject).end(body);
    });
  }

  async ask(path = "/", asking: Asking = {}): Promise<Answer> {
    const response = await this.open(path, asking);
    const body = await buffer(response);
    return { status: response.statusCode ?? 0, headers: response.headers, body };
  }

  /** The version that answers now. */
  async answering(): Promise<string> {
    const { status, body } = await this.ask();
    return status === 200 ? body.toString().trim() : `status ${status}`;
  }

  /** Waits until this version answers. */
  async answers(version: string, timeout_ms?: number): Promise<void> {
    const what = `version ${version} of ${this.name}`;
    await until(what, async () => (await this.answering().catch(() => "")) === version, timeout_ms);
  }

  async view(): Promise<ProjectView> {
    const response = await this.secure(`/projects/${this.name}`);
    const text = await response.text();
    assert.equal(response.status, 200, text);
    return JSON.parse(text) as ProjectView;
  }

  /** A request to Railhead with peroku's token. */
  secure(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = { authorization: `Bearer ${PEROKU_TOK}` };
    return this.#world.stack.fetch(path, { ...init, headers });
  }

  /** Its containers, of any version. */
  containers(): Promise<Container[]> {
    return containers(`railhead.project=${this.name}`);
  }

  /** The only container that it has. */
  async container(): Promise<Container> {
    const [first, ...others] = await this.containers();
    assert.ok(first !== undefined && others.length === 0, `${others.length + 1} containers`);
    return first;
  }

  /** Waits until no container is left but those of the version that serves. */
  async drained(replicas = 1): Promise<void> {
    await until(
      `only ${replicas} containers of ${this.name}`,
      async () => (await this.containers()).length === replicas,
    );
  }

  #run(program: string, args: readonly string[]): Promise<Ran> {
    const unset = { RAILHEAD_URL: "", RAILHEAD_TOKEN: "", PEROKU_TOK: "" };
    const env = { ...process.env, ...unset, HOME: this.folder };
    return run(process.execPath, [program, ...args], { cwd: this.folder, env });
  }
}

export async function openAppStack(settings: Partial<StackSettings> = {}): Promise<AppStack> {
  await readyDocker();
  process.env.PEROKU_TOK = PEROKU_TOK;
  const base = await makeBaseImage();
  try {
    const stack = await openStack({ repositories: {}, ...settings });
    return new AppStack(stack, base, await mkdtemp(join(tmpdir(), "railhead-app-stack-")));
  } catch (error) {
    await base.remove();
    throw error;
  }
}

export type Load = {
  /** Ends it; how many requests there were, and what became of how many that did not answer 200. */
  stop(): Promise<{ asked: number; failures: Record<string, number>; versions: Set<string> }>;
};

/** Asks for the app so many times a second, whatever becomes of it. */
export function load(project: TestProject, per_second: number): Load {
  const agent = new Agent({ keepAlive: true });
  const over = new AbortController();
  const failures: Record<string, number> = {};
  const failed = (what: string) => {
    failures[what] = (failures[what] ?? 0) + 1;
  };
  const versions = new Set<string>();
  const asked: Promise<void>[] = [];
  const ask = async () => {
    try {
      const { status, body } = await project.ask("/", { agent });
      if (status === 200) versions.add(body.toString().trim());
      else failed(`${status} ${body.toString().slice(0, 500)}`);
    } catch (error) {
      failed(String(error));
    }
  };
  const running = (async () => {
    while (!over.signal.aborted) {
      asked.push(ask());
      await sleep(1_000 / per_second);
    }
  })();
  return {
    async stop() {
      over.abort();
      await running;
      await Promise.all(asked);
      agent.destroy();
      return { asked: asked.length, failures, versions };
    },
  };
}

type Hardening = {
  Id: string;
  State: { Running: boolean; StartedAt: string };
  HostConfig: {
    CapDrop: string[];
    CapAdd: string[];
    SecurityOpt: string[];
    Privileged: boolean;
    Memory: number;
    MemorySwap: number;
    NanoCpus: number;
    PidsLimit: number;
    RestartPolicy: { Name: string };
    Binds: string[] | null;
    PortBindings: Record<string, unknown> | null;
  };
  Mounts: unknown[];
  NetworkSettings: { Networks: Record<string, { IPAddress: string; Gateway: string }> };
};

export function inspect({ Id }: Pick<Container, "Id">): Promise<Hardening> {
  return engine("GET", `/containers/${Id}/json`);
}
