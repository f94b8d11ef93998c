/** Why this host should get no work now: looked at every minute, told to the edge as `unwell`. */
import { join } from "node:path";
import type { DockerHost, HostFacts, Owner } from "./docker/contracts.ts";
import { EdgeClock } from "./edge-clock.ts";
import { messageOf } from "./errors.ts";
import type { Logger } from "./logger.ts";
import type { Clock, Disk } from "./ports.ts";
import { showSize } from "./sizes.ts";
import { within } from "./timing.ts";

/** Characters of `unwell`: the protocol's own limit. */
const UNWELL_CHARS = 500;
/** Milliseconds between this clock and the edge's above which certificates, caches and the times in logs go wrong. */
const CLOCK_OFF_MS = 5 * 60_000;
/** Milliseconds that the engine has to say how it is. */
const FACTS_MS = 15_000;

/** Written and left in the agent's folder to see that journals can be: as much as a file takes at least. */
const PROBE_FILE = "probe";
const PROBE = " ".repeat(4096);

export type HealthParts = {
  clock: Clock;
  disk: Pick<Disk, "writeWhole">;
  /** The agent's folder. */
  home: string;
  docker: DockerHost;
  /** Images that the recipes need. */
  images: string[];
  min_free_bytes: number;
  log: Logger;
};

export class Health {
  /** Tell it each time that the edge says. */
  readonly edgeClock: EdgeClock;
  readonly #parts: HealthParts;
  readonly #unclean = new Map<string, string>();
  #engine: string | null = null;
  #disk: string | null = null;
  #home: string | null = null;
  #images: string | null = "its builder images are not checked yet";

  constructor(parts: HealthParts) {
    this.#parts = parts;
    this.edgeClock = new EdgeClock(parts.clock);
  }

  /** The first of the reasons, in the order in which they matter; null when the host is well. */
  get unwell(): string | null {
    const unclean = [...this.#unclean.values()][0] ?? null;
    const clock = wrongClock(this.edgeClock.ahead_ms);
    const reason = this.#engine ?? this.#disk ?? this.#home ?? clock ?? unclean ?? this.#images;
    return reason?.slice(0, UNWELL_CHARS) ?? null;
  }

  /** Something of an attempt could not be removed: no new work until it is. */
  unclean({ build, attempt }: Owner, why: string): void {
    this.#unclean.set(`${build}-${attempt}`, `build ${build} could not be cleaned away: ${why}`);
  }

  /** A journal could not be written: no new work until the next look. */
  unwritable(why: string): void {
    this.#home = `its disk cannot be written: ${why}`;
  }

  /** What is unclean now; call the answer once the reaper went through without an error. */
  reaping(): () => void {
    const before = [...this.#unclean.keys()];
    return () => {
      for (const attempt of before) this.#unclean.delete(attempt);
    };
  }

  async look(): Promise<void> {
    const { clock, disk, docker, home, min_free_bytes } = this.#parts;
    await disk.writeWhole(join(home, PROBE_FILE), PROBE).then(
      () => {
        this.#home = null;
      },
      (error: unknown) => this.unwritable(messageOf(error)),
    );
    try {
      const facts = await within(clock, docker.facts(), FACTS_MS, "no answer");
      this.#engine = null;
      this.#disk = fullDisk(facts, min_free_bytes);
      this.#images = await this.#missingImage();
    } catch (error) {
      this.#engine = `the Docker engine does not answer: ${messageOf(error)}`;
    }
  }

  /** Pulls what is not on the host; says what could not be. */
  async #missingImage(): Promise<string | null> {
    const { docker, images, log } = this.#parts;
    for (const image of images) {
      if ((await docker.imageId(image)) !== null) continue;
      log.info("pulling image", { image });
      try {
        await docker.pull(image);
      } catch (error) {
        return `image ${image} is not on this host and cannot be pulled: ${messageOf(error)}`;
      }
    }
    return null;
  }
}

/** What to say of a disk with less room than the owner wants kept; null when there is enough, or nobody can see it. */
export function fullDisk(facts: HostFacts, min_free_bytes: number): string | null {
  const { disk_free_bytes: free, disk_total_bytes: total, data_root } = facts;
  if (free === null || free >= min_free_bytes) return null;
  const used = total ? `${Math.round(100 * (1 - free / total))} % full, ` : "";
  return `the disk of ${data_root} is ${used}with ${showSize(free)} free of the ${showSize(min_free_bytes)} wanted`;
}

/** What to say of a clock that is minutes `ahead_ms` (negative: behind) of the edge's; null when it is not, or nobody knows. */
export function wrongClock(ahead_ms: number | null): string | null {
  if (ahead_ms === null || Math.abs(ahead_ms) <= CLOCK_OFF_MS) return null;
  const way = ahead_ms > 0 ? "ahead of" : "behind";
  return `the clock is ${Math.round(Math.abs(ahead_ms) / 60_000)} min ${way} the edge's`;
}
