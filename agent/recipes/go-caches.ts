/**
 * What is kept between Go builds, as volumes. Modules and compiled packages belong to one (repository, visibility)
 * and are shared by builds of advertised commits only (protocol rule 18); the fetch container alone writes modules.
 * A standard library cache belongs to (builder image, platform, flags), is written by our own container while the
 * agent is idle, and is copied once into the compiled cache of each repository.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as z from "zod";
import type { GoTarget } from "../../shared/recipes/go.ts";
import { DockerError, type DockerHost, type Mount } from "../docker/contracts.ts";
import { writeWhole } from "../files.ts";
import { WORKSPACE } from "../workspace.ts";
import type { IdleContext } from "./contracts.ts";
import { COMPILED, MODULES, STANDARD, STANDARD_SCRIPT } from "./go-scripts.ts";
import type { GoRecipeSettings } from "./go-settings.ts";

/** Label of every cache volume; its value is the kind. */
export const CACHE_LABEL = "railhead.cache";
/** Share of its limit from which on a cache is thrown away instead of letting a build hit the limit. */
const FULL_SHARE = 0.75;
/** Milliseconds that filling one standard library cache may take. */
const FILL_MS = 10 * 60_000;

/** What a standard library was compiled for. */
const standardSchema = z.object({
  image: z.string(),
  goos: z.string(),
  goarch: z.string(),
  /** With \`-trimpath\`, which makes other packages: the default way's. Makefiles mostly go without. */
  trimpath: z.boolean(),
});
export type Standard = z.infer<typeof standardSchema>;

const memorySchema = z.object({
  /** Milliseconds since the epoch of each volume's last use. */
  used: z.record(z.string(), z.number()),
  /** Standard library caches that were wanted, by volume, and whether they are ready. */
  standards: z.record(z.string(), standardSchema.extend({ filled: z.boolean() })),
  /** Volumes that a build filled up. */
  full: z.array(z.string()),
});

export type OpenCaches = {
  /** For the fetch container, which may write all but the standard library. */
  fetch: Mount[];
  /** For containers that run the repository's code. */
  build: Mount[];
  /** GOMODCACHE and GOCACHE inside them. */
  modules: string;
  compiled: string;
  /** The volumes in \`build\`. */
  volumes: string[];
};

export class GoCaches {
  readonly #limits: GoRecipeSettings["cache"];
  readonly #folder: string;
  readonly #now: () => number;
  readonly #memory: z.infer<typeof memorySchema>;

  /** @param now milliseconds since the epoch */
  constructor(settings: Pick<GoRecipeSettings, "cache" | "folder">, now: () => number = Date.now) {
    this.#limits = settings.cache;
    this.#folder = settings.folder;
    this.#now = now;
    this.#memory = recall(this.#file);
  }

  /** Makes the caches of a target ready. A commit that no tag or branch shows gets some of its own, gone with its workspace. */
  async open(
    docker: DockerHost,
    agent: string,
    target: GoTarget,
    image: string,
  ): Promise<OpenCaches> {
    const standards = [true, false].flatMap((trimpath) =>
      this.#mountStandard(agent, { image, goos: target.goos, goarch: target.goarch, trimpath }),
    );
    if (!target.advertised)
      return {
        fetch: standards,
        build: [],
        modules: `${WORKSPACE}/modules`,
        compiled: `${WORKSPACE}/compiled`,
        volumes: [],
      };
    const repository = [agent, target.visibility, target.remote, ...target.path];
    const modules = volumeName("modules", repository);
    const compiled = volumeName("compiled", [...repository, target.goos, target.goarch]);
    await this.#ready(docker, modules, "modules");
    await this.#ready(docker, compiled, "compiled");
    return {
      fetch: [
        { volume: modules, target: MODULES, read_only: false },
        { volume: compiled, target: COMPILED, read_only: false },
        ...standards,
      ],
      build: [
        { volume: modules, target: MODULES, read_only: true },
        { volume: compiled, target: COMPILED, read_only: false },
      ],
      modules: `${MODULES}/modules`,
      compiled: `${COMPILED}/compiled`,
      volumes: [modules, compiled],
    };
  }

  /** Notes that a build would have gained from this standard library: \`idle\` fills it. */
  want(agent: string, standard: Standard): void {
    this.#memory.standards[standardName(agent, standard)] ??= { ...standard, filled: false };
  }

  /** Notes that a build ran out of disk: these caches start empty the next time. */
  async spoil(volumes: readonly string[]): Promise<void> {
    this.#memory.full = [...new Set([...this.#memory.full, ...volumes])];
    await this.#remember();
  }

  /** Removes what is over its limit, oldest first, then fills one missing standard library after the other. */
  async idle(context: IdleContext, image: string): Promise<void> {
    await this.#trim(context.docker, context.signal);
    for (const [volume, standard] of Object.entries(this.#memory.standards)) {
      if (context.signal.aborted) break;
      if (!standard.filled) await this.#fill(context, image, volume, standard);
    }
    await this.#remember();
  }

  #mountStandard(agent: string, standard: Standard): Mount[] {
    const volume = standardName(agent, standard);
    if (!this.#memory.standards[volume]?.filled) return [];
    this.#memory.used[volume] = this.#now();
    const target = `${STANDARD}/${standard.trimpath ? "trimpath" : "plain"}`;
    return [{ volume, target, read_only: true }];
  }

  async #ready(docker: DockerHost, name: string, kind: string): Promise<void> {
    if (this.#memory.full.includes(name) && (await removed(docker, name)))
      this.#memory.full = this.#memory.full.filter((full) => full !== name);
    const bytes = kind === "standard" ? null : this.#limits.repository_bytes;
    await docker.createVolume({ name, labels: { [CACHE_LABEL]: kind }, bytes });
    this.#memory.used[name] = this.#now();
  }

  async #trim(docker: DockerHost, signal: AbortSignal): Promise<void> {
    const { used, standards } = this.#memory;
    const volumes = (await docker.volumes(CACHE_LABEL))
      .map((volume) => ({
        name: volume.name,
        kind: volume.labels[CACHE_LABEL] ?? "",
        bytes: volume.bytes ?? 0,
        used: used[volume.name] ?? 0,
      }))
      .sort((a, b) => a.used - b.used);
    let total = volumes.reduce((sum, volume) => sum + volume.bytes, 0);
    const full = this.#limits.repository_bytes * FULL_SHARE;
    for (const { name, kind, bytes } of volumes) {
      if (signal.aborted) return;
      const over = total > this.#limits.total_bytes || (kind !== "standard" && bytes > full);
      if (!over || !(await removed(docker, name))) continue;
      total -= bytes;
      delete used[name];
      delete standards[name];
    }
    const present = new Set(volumes.map((volume) => volume.name));
    for (const [name, standard] of Object.entries(standards))
      if (standard.filled && !present.has(name)) delete standards[name];
  }

  async #fill(
    { owner, docker, limits, signal }: IdleContext,
    image: string,
    volume: string,
    standard: Standard,
  ): Promise<void> {
    // An image that was replaced is wanted by nobody any more.
    if ((await docker.imageId(image)) !== standard.image) {
      delete this.#memory.standards[volume];
      return;
    }
    await this.#ready(docker, volume, "standard");
    await (await docker.adopt(owner, "standard"))?.remove();
    const handle = await docker.create({
      owner,
      phase: "standard",
      image: standard.image,
      command: ["sh", "-c", STANDARD_SCRIPT, "sh", ...(standard.trimpath ? ["-trimpath"] : [])],
      env: {
        HOME: "/tmp",
        GOOS: standard.goos,
        GOARCH: standard.goarch,
        CGO_ENABLED: "0",
        GOTOOLCHAIN: "local",
        GOTMPDIR: STANDARD,
      },
      working_dir: "/",
      mounts: [{ volume, target: STANDARD, read_only: false }],
      network: { kind: "none" },
      limits,
      deadline_ms: FILL_MS,
      stdin: null,
    });
    const stop = () => void handle.kill("cancel", 0).catch(() => {});
    signal.addEventListener("abort", stop);
    try {
      if (signal.aborted) return;
      await handle.start();
      for await (const _ of handle.output());
      const exit = await handle.wait();
      this.#memory.standards[volume] = { ...standard, filled: exit.code === 0 };
    } finally {
      signal.removeEventListener("abort", stop);
      await handle.remove();
    }
  }

  get #file(): string {
    return join(this.#folder, "go-caches.json");
  }

  async #remember(): Promise<void> {
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    await writeWhole(this.#file, JSON.stringify(this.#memory), 0o600);
  }
}

/** What an earlier process noted. A torn or foreign file is as good as none: caches are only caches. */
function recall(file: string): z.infer<typeof memorySchema> {
  try {
    return memorySchema.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch {
    return { used: {}, standards: {}, full: [] };
  }
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

function standardName(agent: string, { image, goos, goarch, trimpath }: Standard): string {
  return volumeName("standard", [agent, image, goos, goarch, String(trimpath)]);
}

/** Not a name that a user could choose: hashed, so that it fits and nothing in it means anything. */
function volumeName(kind: string, parts: string[]): string {
  const hash = createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 32);
  return `railhead-go-${kind}-${hash}`;
}
