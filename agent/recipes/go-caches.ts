/**
 * What is kept between Go builds, as volumes. Modules and compiled packages belong to one (repository, visibility) and
 * are shared by builds of advertised commits only (protocol rule 18); the fetch container alone writes modules. A
 * standard library belongs to (builder image, platform, flags) and is copied once into a repository's compiled cache.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import * as z from "zod";
import { type GoTarget, goRepository } from "../../shared/recipes/go.ts";
import { DockerError, type DockerHost, type Mount } from "../docker/contracts.ts";
import { writeWhole } from "../files.ts";
import { WORKSPACE } from "../workspace.ts";
import type { IdleContext } from "./contracts.ts";
import { COMPILED, MODULES, STANDARD } from "./go-scripts.ts";
import type { GoRecipeSettings } from "./go-settings.ts";
import { compileStandard, type Standard } from "./go-standard.ts";

/** Label of every cache volume; its value is the kind. */
export const CACHE_LABEL = "railhead.cache";
type Kind = "modules" | "compiled" | "standard";

/** Share of its limit from which on a cache starts anew, before a build hits the limit. */
const FULL_SHARE = 0.75;
/** Milliseconds after its last use in which a cache stays: a build may be about to mount it. */
const RECENT_MS = 60_000;
/** Milliseconds without work before a standard library is compiled: it takes all cores for half a minute. */
const QUIET_MS = 60_000;
/** Repositories that must have wanted it: the first one fills its own cache by building. */
const WORTHWHILE = 2;

const memorySchema = z.object({
  /** Milliseconds since the epoch of each volume's last use. */
  used: z.record(z.string(), z.number()),
  /** Standard libraries that were wanted, by volume. */
  standards: z.record(
    z.string(),
    z.object({
      image: z.string(),
      goos: z.string(),
      goarch: z.string(),
      trimpath: z.boolean(),
      complete: z.boolean(),
      wanted_by: z.array(z.string()),
    }),
  ),
  /** Volumes that a build filled up. */
  full: z.array(z.string()),
});
type Memory = z.infer<typeof memorySchema>;

export type OpenCaches = {
  /** For the fetch container, which may write all but the standard library. */
  fetch: Mount[];
  /** For containers that run the repository's code. */
  build: Mount[];
  /** GOMODCACHE and GOCACHE inside them. */
  modules: string;
  compiled: string;
};

export type GoCachesOptions = {
  /** Milliseconds since the epoch. */
  now: () => number;
  /** Milliseconds without work before a standard library is compiled. */
  quiet_ms: number;
  /** Packages that a standard library consists of. */
  standard: readonly string[];
};

export class GoCaches {
  readonly #limits: GoRecipeSettings["cache"];
  readonly #folder: string;
  readonly #options: GoCachesOptions;
  readonly #memory: Memory;
  /** Volumes are made and removed one after the other. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(
    settings: Pick<GoRecipeSettings, "cache" | "folder">,
    options: Partial<GoCachesOptions> = {},
  ) {
    this.#limits = settings.cache;
    this.#folder = settings.folder;
    this.#options = { now: Date.now, quiet_ms: QUIET_MS, standard: ["std"], ...options };
    this.#memory = recall(this.#file);
  }

  /** Readies a target's caches. A commit that no tag or branch shows has its own, gone with its workspace. */
  async open(
    docker: DockerHost,
    agent: string,
    target: GoTarget,
    image: string,
  ): Promise<OpenCaches> {
    return this.#inTurn(async () => {
      const standards: Mount[] = [];
      for (const trimpath of [true, false]) {
        const { goos, goarch } = target;
        const volume = standardName(agent, { image, goos, goarch, trimpath });
        if (!this.#memory.standards[volume]?.complete) continue;
        await this.#ready(docker, volume, "standard");
        const folder = `${STANDARD}/${trimpath ? "trimpath" : "plain"}`;
        standards.push({ volume, target: folder, read_only: true });
      }
      if (!target.advertised)
        return {
          fetch: standards,
          build: [],
          modules: `${WORKSPACE}/modules`,
          compiled: `${WORKSPACE}/compiled`,
        };
      const [modules, compiled] = repositoryVolumes(agent, target);
      await this.#ready(docker, modules, "modules");
      await this.#ready(docker, compiled, "compiled");
      const writable: Mount = { volume: compiled, target: COMPILED, read_only: false };
      return {
        fetch: [{ volume: modules, target: MODULES, read_only: false }, writable, ...standards],
        build: [{ volume: modules, target: MODULES, read_only: true }, writable],
        modules: `${MODULES}/modules`,
        compiled: `${COMPILED}/compiled`,
      };
    });
  }

  /** Notes that a target is built with this standard library: `idle` compiles it when it pays. */
  want(agent: string, standard: Standard, target: GoTarget): void {
    const name = standardName(agent, standard);
    const known = this.#memory.standards[name] ?? { ...standard, complete: false, wanted_by: [] };
    const repository = goRepository(target);
    if (known.wanted_by.length < WORTHWHILE && !known.wanted_by.includes(repository))
      known.wanted_by.push(repository);
    this.#memory.standards[name] = known;
  }

  /** Notes that a build ran out of disk: the target's caches start empty the next time. */
  async spoil(agent: string, target: GoTarget): Promise<void> {
    this.#memory.full = [...new Set([...this.#memory.full, ...repositoryVolumes(agent, target)])];
    await this.#remember();
  }

  /** Removes what is over a limit, oldest first; then, in quiet times, compiles what `want` asked for. */
  async idle(context: IdleContext, image: string): Promise<void> {
    const { docker, signal } = context;
    await this.#trim(docker, signal);
    for (const [volume, known] of Object.entries(this.#memory.standards)) {
      if (known.complete || known.wanted_by.length < WORTHWHILE) continue;
      if (!(await quiet(this.#options.quiet_ms, signal))) break;
      if ((await docker.imageId(image)) !== known.image) {
        // The builder image was replaced: nobody wants this one any more.
        delete this.#memory.standards[volume];
        continue;
      }
      await this.#inTurn(() => this.#ready(docker, volume, "standard"));
      known.complete = await compileStandard(context, volume, known, this.#options.standard);
    }
    await this.#remember();
  }

  async #ready(docker: DockerHost, name: string, kind: Kind): Promise<void> {
    this.#memory.used[name] = this.#options.now();
    if (this.#memory.full.includes(name) && (await removed(docker, name)))
      this.#memory.full = this.#memory.full.filter((full) => full !== name);
    const bytes = kind === "standard" ? null : this.#limits.repository_bytes;
    await docker.createVolume({ name, labels: { [CACHE_LABEL]: kind }, bytes });
  }

  async #trim(docker: DockerHost, signal: AbortSignal): Promise<void> {
    const { used, standards } = this.#memory;
    const volumes = await docker.volumes(CACHE_LABEL);
    const age = ({ name }: { name: string }) => used[name] ?? 0;
    let total = volumes.reduce((sum, { bytes }) => sum + (bytes ?? 0), 0);
    for (const { name, labels, bytes } of volumes.sort((a, b) => age(a) - age(b))) {
      const size = bytes ?? 0;
      const full =
        labels[CACHE_LABEL] !== "standard" && size > FULL_SHARE * this.#limits.repository_bytes;
      if (!full && total <= this.#limits.total_bytes) continue;
      const gone = await this.#inTurn(async () => {
        if (signal.aborted || age({ name }) > this.#options.now() - RECENT_MS) return false;
        return removed(docker, name);
      });
      if (!gone) continue;
      total -= size;
      delete used[name];
      delete standards[name];
    }
  }

  #inTurn<R>(body: () => Promise<R>): Promise<R> {
    const result = this.#turn.then(body);
    this.#turn = result.catch(() => {});
    return result;
  }

  get #file(): string {
    return join(this.#folder, "go-caches.json");
  }

  async #remember(): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    await writeWhole(this.#file, JSON.stringify(this.#memory), 0o600);
  }
}

/** What an earlier process noted. A file that does not parse is as good as none: these are caches only. */
function recall(file: string): Memory {
  try {
    return memorySchema.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch {
    return { used: {}, standards: {}, full: [] };
  }
}

/** Waits; false when the signal came first. */
function quiet(ms: number, signal: AbortSignal): Promise<boolean> {
  return sleep(ms, true, { signal, ref: false }).catch(() => false);
}

/** False when a container uses the volume just now. */
async function removed(docker: DockerHost, name: string): Promise<boolean> {
  try {
    await docker.removeVolume(name);
    return true;
  } catch (error) {
    if (error instanceof DockerError && error.kind === "conflict") return false;
    throw error;
  }
}

function repositoryVolumes(agent: string, target: GoTarget): [modules: string, compiled: string] {
  const repository = [agent, target.visibility, target.remote, ...target.path];
  return [
    volumeName("modules", repository),
    volumeName("compiled", [...repository, target.goos, target.goarch]),
  ];
}

function standardName(agent: string, { image, goos, goarch, trimpath }: Standard): string {
  return volumeName("standard", [agent, image, goos, goarch, String(trimpath)]);
}

/** Hashed, so that it fits and nothing in it means anything to the engine. */
function volumeName(kind: Kind, parts: string[]): string {
  const hash = createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 32);
  return `railhead-go-${kind}-${hash}`;
}
