/** A build by the engine's classic builder, whose limits hold. */
import type { Readable } from "node:stream";
import { type CommonQuery, commonQuery } from "./build-query.ts";
import { cgroupOf, limitProcesses } from "./cgroups.ts";
import { type BuildEvent, DockerError, type ImageSpec, type Owner } from "./contracts.ts";
import type { Engine, EngineInfo } from "./engine.ts";
import type { ClassicQuery, ImageRow } from "./engine-images.ts";
import { chunksOf, stepOf } from "./image-output.ts";
import type { Ledger } from "./ledger.ts";
import { StepWatch } from "./step-watch.ts";

/** Microseconds over which the engine counts a container's share of the cores. */
const CPU_PERIOD = 100_000;
/** Open files of one process. */
const OPEN_FILES = 4096;

/** Ids of images that were on the host before a build: all, and those whose layers it may take. */
type Before = { all: ReadonlySet<string>; lent: ReadonlySet<string> };

export class ClassicBuild {
  readonly #engine: Engine;
  readonly #ledger: Ledger;
  readonly #spec: ImageSpec;

  constructor(engine: Engine, ledger: Ledger, spec: ImageSpec) {
    this.#engine = engine;
    this.#ledger = ledger;
    this.#spec = spec;
  }

  /** @param network that steps are on */
  async *events(
    context: Readable,
    { info, network }: { info: EngineInfo; network: string },
    signal: AbortSignal,
  ): AsyncGenerator<BuildEvent, void, undefined> {
    const { owner, limits, login, max_bytes } = this.#spec;
    const cgroup = cgroupOf(owner, info.CgroupDriver);
    await this.#ledger.note(owner, { t: "build", cgroup });
    await limitProcesses(cgroup, limits.pids);
    const there = await this.#engine.images.list();
    const before: Before = {
      all: new Set(there.map(({ id }) => id)),
      lent: lineage(there, this.#spec.cache_from),
    };
    const query = queryOf(this.#spec, info.NCPU, cgroup, network);
    const watch = new StepWatch(this.#engine, cgroup, limits.disk_bytes);
    const cut = new AbortController();
    let stopping = false;
    const stop = () => {
      stopping = true;
      void watch.stop(() => cut.abort());
    };
    signal.throwIfAborted();
    signal.addEventListener("abort", stop, { once: true });
    try {
      // Read to its end also when nobody wants it any more: only so all images of steps are known.
      for await (const said of this.#engine.images.build(query, context, login, cut.signal)) {
        const made = await this.#noteStep(owner, said.stream, before);
        if (stopping) continue;
        if (said.error !== undefined)
          yield watch.outgrown
            ? { kind: "outgrown", what: "step" }
            : { kind: "failed", message: said.error };
        for (const chunk of chunksOf(said.stream ?? "")) yield { kind: "output", chunk };
        if (made === null || made <= max_bytes) continue;
        yield { kind: "outgrown", what: "image" };
        stop();
      }
      await this.#ledger.note(owner, { t: "ended" });
    } catch (error) {
      if (stopping) return signal.throwIfAborted();
      // It refuses some Dockerfiles before it begins, with a status.
      if (!(error instanceof DockerError) || error.said === null || error.status === null)
        throw error;
      await this.#ledger.note(owner, { t: "ended" });
      yield { kind: "failed", message: error.said };
    } finally {
      signal.removeEventListener("abort", stop);
      watch.end();
    }
    signal.throwIfAborted();
  }

  /** Notes the image of a step that the builder has just told of. @returns its bytes, unless it was there before the build */
  async #noteStep(
    owner: Owner,
    said: string | undefined,
    { all, lent }: Before,
  ): Promise<number | null> {
    const step = said === undefined ? null : stepOf(said);
    const made = step === null ? null : await this.#engine.images.inspect(step);
    if (made === null) return null;
    if (all.has(made.id)) {
      if (lent.has(made.id)) await this.#ledger.note(owner, { t: "cached", id: made.id });
      return null;
    }
    await this.#ledger.note(owner, { t: "step", id: made.id });
    return made.size_bytes;
  }
}

/** Images with these names, and those of the steps before them. */
function lineage(images: readonly ImageRow[], wanted: readonly string[]): Set<string> {
  const parents = new Map(images.map(({ id, parent }) => [id, parent]));
  const found = new Set<string>();
  for (const { id, names } of images) {
    if (!names.some((name) => wanted.includes(name))) continue;
    for (let at = id; at !== "" && !found.has(at); at = parents.get(at) ?? "") found.add(at);
  }
  return found;
}

function queryOf(
  spec: ImageSpec,
  cpus: number,
  cgroup: string,
  network: string,
): CommonQuery & ClassicQuery {
  const { cache_from, limits } = spec;
  const limit = (Name: string, value: number) => ({ Name, Soft: value, Hard: value });
  return {
    ...commonQuery(spec),
    // Layers of other builds are no business of this one, and none of its own outlive it.
    ...(cache_from.length === 0 ? { nocache: true } : { cachefrom: JSON.stringify(cache_from) }),
    version: "1",
    networkmode: network,
    cgroupparent: cgroup,
    memory: limits.memory_bytes,
    memswap: limits.memory_bytes,
    cpuperiod: CPU_PERIOD,
    cpuquota: Math.round(Math.min(limits.cpus, cpus) * CPU_PERIOD),
    ulimits: JSON.stringify([
      limit("nofile", OPEN_FILES),
      limit("core", 0),
      limit("fsize", limits.disk_bytes),
    ]),
  };
}
