/** What must hold after every step (spec failures.md, I1–I7): looked at when something that could break it is stored. */

import { containerName } from "../../agent/docker/labels.ts";
import type { BuildState } from "../../shared/builds.ts";
import { MAX_ATTEMPTS, TICKET_MS } from "../../shared/limits.ts";
import type { LogEntry } from "../../shared/log.ts";
import { logKey, type Manifest } from "../../worker/core/manifest.ts";
import { sha256 } from "../support/store.ts";
import type { BuildShell } from "./edge/build.ts";
import type { Edge } from "./edge/edge.ts";
import type { DurableObject } from "./edge/object.ts";
import type { SimHost } from "./host/host.ts";
import type { Kernel } from "./kernel.ts";
import { checkLog, checkWhole } from "./log-check.ts";
import { entriesOf, type Users } from "./users.ts";

const MANIFESTS = "manifests/";
const ENDS = new Set<BuildState>(["succeeded", "failed", "cancelled", "timed_out"]);

/** What is known of a build from what it stored. */
export type Known = {
  id: string;
  key: string;
  outcome: BuildState | null;
  class: string | null;
  stage: string;
  attempt: number;
  begunAt: number;
  /** The agent of each attempt, by number. */
  agents: Map<number, string>;
  started: number;
};

type BuildLook = Pick<Known, "key" | "outcome" | "class" | "stage" | "attempt">;
type AttemptLook = { n: number; agent: string; started: number };

export class Invariants {
  readonly builds = new Map<string, Known>();
  /** Whether an agent was stopped by its owner in the middle of its work. */
  interrupted = false;
  /** Builds that others led to. */
  followers = 0;
  /** Called when an attempt begins in place of `before`, which was the newest for `newest_ms`. */
  onBegin: (build: string, before: number, newest_ms: number) => void = () => {};
  readonly #kernel: Kernel;
  readonly #edge: Edge;
  readonly #wrong: (what: string) => void;
  /** The build under way of each target. */
  readonly #live = new Map<string, string>();
  /** Keys that a manifest ever named: a reader of a replaced one may still be at them. */
  readonly #published = new Set<string>();

  constructor(kernel: Kernel, edge: Edge, wrong: (what: string) => void) {
    this.#kernel = kernel;
    this.#edge = edge;
    this.#wrong = wrong;
    edge.watch = (build) => this.#stored(build);
    edge.bucket.contents.watch = (key, bytes) => this.#put(key, bytes);
  }

  /** A part of a file was taken for an attempt. */
  part(build: string, attempt: number): void {
    const known = this.builds.get(build);
    const late = known && known.attempt > attempt && this.#kernel.now - known.begunAt > TICKET_MS;
    if (late) this.#wrong(`I6: ${build} takes parts of attempt ${attempt}, not ${known.attempt}`);
  }

  /** No attempt has containers on two machines. */
  hosts(hosts: readonly SimHost[]): void {
    const at = new Map<string, string>();
    for (const { name, engine } of hosts)
      for (const { spec } of engine.containers.values()) {
        const attempt = `${spec.owner.build}/${spec.owner.attempt}`;
        const other = at.get(attempt) ?? name;
        if (other !== name) this.#wrong(`I6: ${attempt} is on ${name} and on ${other}`);
        at.set(attempt, name);
      }
  }

  /** A Build's writes were confirmed. */
  #stored(object: DurableObject<BuildShell>): void {
    const id = object.name.slice("build:".length);
    const before = this.builds.get(id);
    const row = lookAt(object);
    if (row === null) {
      if (before?.outcome) this.#wrong(`I1: ${id} was ${before.outcome} and is erased`);
      if (before) this.#forget(before);
      return;
    }
    const known = before ?? this.#meet(id, row);
    if (known.outcome !== null && known.outcome !== row.outcome)
      this.#wrong(`I1: ${id} was ${known.outcome}, now it is ${row.outcome}`);
    if (row.attempt < known.attempt)
      this.#wrong(`I6: ${id} goes back from attempt ${known.attempt} to ${row.attempt}`);
    if (row.attempt > known.attempt) {
      this.onBegin(id, known.attempt, this.#kernel.now - known.begunAt);
      known.begunAt = this.#kernel.now;
    }
    if (row.attempt > known.attempt || row.stage !== known.stage) this.#attempts(object, known);
    Object.assign(known, row);
    if (row.outcome !== null && this.#live.get(known.key) === id) this.#live.delete(known.key);
  }

  #meet(id: string, row: BuildLook): Known {
    const known: Known = {
      ...row,
      id,
      attempt: 0,
      begunAt: 0,
      agents: new Map(),
      started: 0,
    };
    this.builds.set(id, known);
    const other = this.#live.get(row.key);
    if (other !== undefined)
      this.#wrong(`single flight: ${row.key} is built by ${other} and ${id}`);
    this.#live.set(row.key, id);
    return known;
  }

  #forget(known: Known): void {
    this.builds.delete(known.id);
    if (this.#live.get(known.key) === known.id) this.#live.delete(known.key);
  }

  #attempts(object: DurableObject<BuildShell>, known: Known): void {
    const rows = object.storage.peek<AttemptLook>("SELECT n, agent, started FROM attempts");
    for (const { n, agent } of rows) {
      const first = known.agents.get(n) ?? agent;
      if (first !== agent)
        this.#wrong(`I6: attempt ${n} of ${known.id} went from ${first} to ${agent}`);
      known.agents.set(n, agent);
    }
    known.started = rows.filter(({ started }) => started === 1).length;
    if (known.started > MAX_ATTEMPTS)
      this.#wrong(`I2: ${known.id} was started ${known.started} times`);
  }

  /** I1, I4: a manifest is put by the build that stored its commit point, and replaces nothing that is whole. */
  #put(key: string, bytes: Buffer): void {
    if (!key.startsWith(MANIFESTS)) return;
    const { objects } = this.#edge.bucket.contents;
    const manifest = manifestOf(bytes);
    const { build_id, attempt } = manifest;
    const before = objects.get(key);
    const whole = before !== undefined && missing(manifestOf(before.bytes), objects).length === 0;
    if (whole) this.#wrong(`I1: ${build_id} replaces a whole publication at ${key}`);
    const gone = missing(manifest, objects);
    if (gone.length > 0) this.#wrong(`I4: ${build_id} publishes ${gone.join(", ")}, not there`);
    for (const file of manifest.files) this.#published.add(file.key);
    const known = this.builds.get(build_id);
    if (known?.stage !== "publishing" && known?.stage !== "ended")
      this.#wrong(`I1: ${build_id} publishes without a commit point (it is ${known?.stage})`);
    if (known?.attempt !== attempt)
      this.#wrong(`I1: ${build_id} publishes attempt ${attempt}, but ${known?.attempt} is current`);
  }

  // ---- at the end ---------------------------------------------------------------------------------

  /** Builds that somebody was promised and that have no end yet. */
  unended(users: Users): string[] {
    return [...users.promised.keys()].filter((id) => !this.builds.get(id)?.outcome);
  }

  /** What is still there of builds that are over, at the edge. */
  residue(): string[] {
    const left: string[] = [];
    for (const [id, { storage }] of this.#edge.builds) {
      if (lookAt(this.#edge.buildObject(id)) === null) continue;
      for (const row of storage.peek("SELECT * FROM callers WHERE credential IS NOT NULL"))
        left.push(`a credential of build ${id}: ${JSON.stringify(row)}`);
      for (const table of ["outbox", "deadlines"])
        for (const row of storage.peek(`SELECT * FROM ${table}`))
          left.push(`${table} of build ${id}: ${JSON.stringify(row)}`);
    }
    for (const [name, { storage }] of this.#edge.pools)
      for (const table of ["jobs", "leases"])
        for (const row of storage.peek(`SELECT * FROM ${table}`))
          left.push(`${table} of pool ${name}: ${JSON.stringify(row)}`);
    return left;
  }

  /** Everything that is checked once, when all is quiet. */
  finish(users: Users, secrets: readonly string[], hosts: readonly SimHost[]): void {
    const { objects, uploads } = this.#edge.bucket.contents;
    for (const [key, { bytes }] of objects)
      if (key.startsWith(MANIFESTS)) this.#publication(key, manifestOf(bytes));
    for (const key of objects.keys())
      if (/(?:^|\/)builds\//.test(key) && !this.#published.has(key))
        this.#wrong(`I7: ${key} is nobody's`);
    for (const { key } of uploads.values()) this.#wrong(`I7: an upload of ${key} is left open`);
    for (const { id, target } of users.promised.values()) {
      const copy = objects.get(logKey(target.visibility, id))?.bytes.toString();
      if (copy === undefined) this.#wrong(`I3: ${id} has no log`);
      else this.#log(id, entriesOf(copy), users, hosts);
    }
    for (const [key, { bytes }] of objects)
      if (!key.includes("builds/"))
        for (const secret of secrets)
          if (key.includes(secret) || bytes.includes(secret))
            this.#wrong(`I5: ${secret} is in ${key}`);
    for (const { name, storage } of this.#edge.objects())
      for (const row of everything(storage))
        for (const secret of secrets)
          if (row.includes(secret)) this.#wrong(`I5: ${secret} is in ${name}: ${row}`);
    this.#catalogued();
    this.#followed();
    for (const { id, outcome, class: end, started } of this.builds.values()) {
      if (outcome === "cancelled" && !users.cancelled.has(id) && !this.interrupted)
        this.#wrong(`I1: ${id} was cancelled by nobody`);
      if (end === "agent_lost" && started < MAX_ATTEMPTS)
        this.#wrong(`rule 3: ${id} was lost after ${started} starts`);
      const told = users.told.get(id)?.state;
      if (told !== undefined && told !== outcome)
        this.#wrong(`I1: ${id} is ${outcome}, but somebody was told ${told}`);
    }
  }

  /** The Catalog has heard of every end. */
  #catalogued(): void {
    const catalog = this.#edge.catalogs.get("catalog");
    if (catalog === undefined) return;
    const rows = catalog.storage.peek<{ build: string; state: string }>(
      "SELECT build, state FROM builds",
    );
    const states = new Map(rows.map(({ build, state }) => [build, state]));
    for (const { id, outcome } of this.builds.values())
      if (states.get(id) !== outcome)
        this.#wrong(`rule 8: ${id} is ${outcome}, the catalog says ${states.get(id)}`);
  }

  /** Each build that another one led to was opened, once, for that one's sake, and has its end. */
  #followed(): void {
    const followers = new Set<string>();
    for (const [id, { storage }] of this.#edge.builds) {
      if (!this.builds.has(id)) continue;
      const [row] = storage.peek<{ follows: string }>("SELECT follows FROM build");
      for (const { name, build_id } of JSON.parse(row?.follows ?? "[]")) {
        followers.add(build_id);
        if (!this.builds.get(build_id)?.outcome)
          this.#wrong(`rule 8: ${id} leads to ${name}, whose build ${build_id} has no end`);
      }
    }
    for (const [id, { storage }] of this.#edge.builds) {
      if (!this.builds.has(id)) continue;
      const [row] = storage.peek<{ target: string }>("SELECT target FROM build");
      const { depth = 0 } = JSON.parse(row?.target ?? "{}").asked ?? {};
      if (depth > 0 && !followers.has(id)) this.#wrong(`rule 8: no build led to ${id}`);
      if (depth > 0) this.followers += 1;
    }
  }

  #publication(key: string, manifest: Manifest): void {
    const known = this.builds.get(manifest.build_id);
    if (known?.outcome !== "succeeded" && known?.class !== "storage")
      this.#wrong(`I1: ${key} is of ${manifest.build_id}, which is ${known?.outcome}`);
    for (const file of manifest.files) {
      const bytes = this.#edge.bucket.contents.objects.get(file.key)?.bytes;
      const whole = bytes?.length === file.size && sha256(bytes) === file.sha256;
      const own = `made by ${manifest.build_id}/${manifest.attempt} `;
      if (bytes && (!whole || !bytes.includes(own)))
        this.#wrong(`I4: ${file.key} is not what was ${own}`);
    }
  }

  #log(id: string, entries: LogEntry[], users: Users, hosts: readonly SimHost[]): void {
    const faults = checkLog(id, entries);
    const { outcome = null, attempt = 0 } = this.builds.get(id) ?? {};
    const container = containerName({ agent: "", build: id, attempt }, "build");
    for (const { engine } of hosts) {
      const printed = engine.printed.get(container);
      if (outcome === "succeeded" && printed)
        faults.push(...checkWhole(id, attempt, printed, entries));
    }
    for (const fault of faults) this.#wrong(`I3: ${fault}`);
    const final = entries.map((entry) => JSON.stringify(entry));
    for (const reading of users.readings) {
      if (reading.build !== id) continue;
      reading.entries.forEach((entry, i) => {
        if (JSON.stringify(entry) !== final[i])
          this.#wrong(`I3: a reader of ${id} saw ${JSON.stringify(entry)}, stored is ${final[i]}`);
      });
      if (!reading.ended || reading.entries.length !== final.length)
        this.#wrong(
          `I3: a reader of ${id} saw ${reading.entries.length} of ${final.length} entries`,
        );
    }
  }
}

function lookAt({ storage }: DurableObject<BuildShell>): BuildLook | null {
  const exists = storage.peek("SELECT 1 AS one FROM sqlite_master WHERE name = 'build'").length > 0;
  if (!exists) return null;
  const row = storage.peek<BuildLook>("SELECT key, stage, outcome, class, attempt FROM build")[0];
  if (row?.outcome != null && !ENDS.has(row.outcome)) throw new Error(`what is ${row.outcome}?`);
  return row ?? null;
}

function manifestOf(bytes: Buffer): Manifest {
  return JSON.parse(bytes.toString());
}

function missing({ files }: Manifest, objects: ReadonlyMap<string, unknown>): string[] {
  return files.map(({ key }) => key).filter((key) => !objects.has(key));
}

/** Every row of every table, as text. */
function* everything(storage: DurableObject<BuildShell>["storage"]): Generator<string> {
  const tables = storage.peek<{ name: string }>(
    "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
  );
  for (const { name } of tables)
    for (const row of storage.peek(`SELECT * FROM ${name}`)) yield JSON.stringify(row);
}
