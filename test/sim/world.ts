/** One simulated installation: an edge, machines with agents, the network between, people. */
import type { Target } from "../../shared/recipes/index.ts";
import { Edge } from "./edge/edge.ts";
import { Front } from "./edge/front.ts";
import { type Blow, Faults } from "./faults.ts";
import { SimHost } from "./host/host.ts";
import { Invariants } from "./invariants.ts";
import { Kernel, type Life } from "./kernel.ts";
import { Losses } from "./losses.ts";
import { Network } from "./network.ts";
import { overlap } from "./overlap.ts";
import { SeededRandom } from "./random.ts";
import { Users } from "./users.ts";

/** When every run begins: no run depends on today. */
const BEGIN = Date.UTC(2026, 0, 1);
const POOL = "default";
const EDGE_URL = "https://edge.example/";
/** Milliseconds until a supervisor starts an agent again. */
const RESTART_MS = { least: 500, most: 8_000 };
/** The number of the target that is a package. */
const PACKAGE = 1;

/** What a run found wrong: the first counts, the rest may follow from it. */
export class Violation extends Error {
  constructor(what: string) {
    super(what);
    this.name = "Violation";
  }
}

export class World {
  readonly random: SeededRandom;
  readonly kernel: Kernel;
  readonly faults: Faults;
  readonly edge: Edge;
  readonly network: Network;
  readonly users: Users;
  readonly invariants: Invariants;
  readonly losses: Losses;
  readonly hosts: SimHost[] = [];
  /** Credentials that must show up nowhere. */
  readonly secrets: string[] = [];
  /** Processes that were asked to end. */
  readonly drained = new Set<Life | null>();
  events = 0;
  #violation: Violation | null = null;

  constructor(seed: number, tell: ((line: string) => void) | null) {
    const random = new SeededRandom(seed);
    this.random = random;
    this.kernel = new Kernel(
      BEGIN,
      tell && ((line) => tell(`${stamp(this.kernel.now - BEGIN)} ${line}`)),
    );
    const { kernel } = this;
    const wrong = (what: string) => this.wrong(what);
    this.faults = new Faults(random.fork());
    const { faults } = this;
    this.edge = new Edge({ kernel, random: random.fork(), faults, wrong });
    const { edge } = this;
    const front = new Front(kernel, edge, wrong);
    this.network = new Network({ kernel, random: random.fork(), faults, front });
    this.users = new Users({ kernel, random: random.fork(), edge, front, wrong });
    this.invariants = new Invariants(kernel, edge, wrong);
    this.losses = new Losses(kernel, this.invariants.builds, wrong);
    this.network.heard = (host) => this.losses.heard(host);
    edge.lost = (build, attempt, why) => this.losses.judge(build, attempt, why);
    this.invariants.onBegin = (build, before, newest_ms) => {
      for (const name of overlap({ build, attempt: before }, newest_ms, this.hosts, kernel.now))
        this.wrong(`I6: ${build} begins anew while ${name} goes on`);
    };
    front.stored = (build, attempt) => this.invariants.part(build, attempt);
  }

  /** Milliseconds since the run began. */
  get elapsed(): number {
    return this.kernel.now - BEGIN;
  }

  wrong(what: string): void {
    this.kernel.tell(() => `WRONG ${what}`);
    this.#violation ??= new Violation(`at ${stamp(this.elapsed)}: ${what}`);
  }

  /** Registers a machine and starts its agent. */
  async addHost(name: string, capacity: number): Promise<SimHost> {
    const { kernel, network, random } = this;
    const request = {
      name,
      pool: POOL,
      labels: {},
      public_key: { kty: "OKP" as const, crv: "Ed25519" as const, x: "k".repeat(43) },
    };
    const answer = this.edge
      .poolObject(POOL)
      .invoke("register", (shell) => shell.register(request));
    await this.run(1_000);
    const registered = await answer;
    if (registered.kind !== "ok") throw new Error(`${name} is taken`);
    const host = new SimHost({
      kernel,
      network,
      random: random.fork(),
      name,
      agent: registered.agent,
      pool: POOL,
      edge: EDGE_URL,
      settings: { capacity },
    });
    this.hosts.push(host);
    const restarts = random.fork();
    host.onDeath = () =>
      kernel.after(
        restarts.between(RESTART_MS.least, RESTART_MS.most),
        `${name}'s supervisor`,
        () => host.start(),
      );
    host.start();
    return host;
  }

  /** A credential's Authorization value. */
  plant(): string {
    const token = `plant-${this.random.hex(10)}`;
    const pair = Buffer.from(`user:${token}`).toString("base64");
    this.secrets.push(token, pair, Buffer.from(pair).toString("base64"));
    return `Basic ${pair}`;
  }

  blow(what: Blow): void {
    this.kernel.tell(() => `*** ${what}`);
    this.faults.count(what);
  }

  /** Lets `ms` of time pass. @throws Violation */
  async run(ms: number): Promise<void> {
    const until = this.kernel.now + ms;
    while (await this.kernel.step(until)) {
      this.events++;
      if (this.#violation) throw this.#violation;
    }
    for (const { name, bugs } of this.hosts) {
      const bug = bugs.find((text) => !text.includes("ENOSPC"));
      if (bug !== undefined) this.wrong(`${name}'s agent calls a bug: ${bug}`);
    }
    this.invariants.hosts(this.hosts);
    if (this.#violation) throw this.#violation;
  }

  close(): void {
    this.edge.close();
  }
}

/** What people ask for: mostly programs, one package that leads to others. */
export function targetOf(number: number, visibility: "public" | "private"): Target {
  if (number === PACKAGE && visibility === "public")
    return {
      recipe: "erlang",
      asked: {
        kind: "package",
        remote: "git.example",
        path: ["owner", "package"],
        namespace: "owner",
        name: "package",
        ref: null,
        notify: false,
        depth: 0,
      },
      erl: null,
      visibility,
    };
  return {
    recipe: "go",
    remote: "git.example",
    path: ["owner", `tool-${number}`],
    goos: "linux",
    goarch: "amd64",
    version: "v1.0.0",
    make: null,
    commit: "0123456789abcdef0123456789abcdef01234567",
    visibility,
    advertised: true,
  };
}

function stamp(ms: number): string {
  const minutes = Math.floor(ms / 60_000);
  return `${String(minutes).padStart(3)}:${((ms % 60_000) / 1000).toFixed(3).padStart(6, "0")}`;
}
