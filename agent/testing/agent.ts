/** An agent in this process, for tests: registered at a TestEdge, with recipes and engine of the test's own. */
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type AgentSettings, parseSettings } from "../config.ts";
import type { DockerHost, HostFacts, Owner } from "../docker/contracts.ts";
import { loadIdentity } from "../identity.ts";
import { createLogger } from "../logger.ts";
import { machine } from "../machine.ts";
import type { Made, Recipe, RecipeContext } from "../recipes/contracts.ts";
import { register } from "../register.ts";
import { Service } from "../service.ts";
import type { TestEdge } from "./edge.ts";
import { NO_APPS } from "./no-apps.ts";
import { NO_IMAGES } from "./no-images.ts";

const FACTS: HostFacts = {
  engine_id: "engine",
  engine_version: "20.10.24",
  cpus: 2,
  memory_bytes: 2 ** 34,
  cgroup_version: "2",
  cgroup_driver: "cgroupfs",
  live_restore: true,
  userns: true,
  seccomp: true,
  firewall: true,
  quota: true,
  data_root: "/var/lib/docker",
  disk_free_bytes: 2 ** 36,
  disk_total_bytes: 2 ** 37,
};

/** An engine without containers: what a recipe that runs none needs of one. */
export function emptyEngine(): DockerHost & { cleaned: Owner[]; facts_now: HostFacts } {
  const never = () => Promise.reject(new Error("this engine has no containers"));
  const engine = {
    images: NO_IMAGES,
    apps: NO_APPS,
    cleaned: [] as Owner[],
    facts_now: FACTS,
    facts: async () => engine.facts_now,
    imageId: async () => "sha256:0",
    pull: never,
    create: never,
    adopt: async () => null,
    createVolume: never,
    removeVolume: never,
    volumes: async () => [],
    clean: async (owner: Owner) => void engine.cleaned.push(owner),
    reap: async () => [],
    retire: async () => {},
  };
  return engine;
}

/** A recipe under the name `go` that does what the test says. */
export function recipe(make: (context: RecipeContext) => Promise<Made[]>): Recipe {
  return {
    name: "go",
    images: () => [],
    refuses: (target) =>
      target.recipe === "go" && target.remote === "refused.example" ? "not from there" : null,
    make: async (context) => ({ made: await make(context), repositories: [] }),
  };
}

/** Writes a file as a recipe leaves it for upload. */
export async function made(folder: string, name: string, bytes: Buffer): Promise<Made> {
  const file = join(folder, name);
  await writeFile(file, bytes);
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  return { name, file, size: bytes.length, sha256, content_type: "application/octet-stream" };
}

export function testHome(): { home: string; remove: () => void } {
  const home = mkdtempSync(join(tmpdir(), "railhead-agent-"));
  return { home, remove: () => rmSync(home, { recursive: true, force: true }) };
}

export async function registerAt(edge: TestEdge, home: string): Promise<void> {
  await register({
    home,
    url: edge.url,
    token: "rh_registration",
    name: "test",
    pool: "default",
    labels: {},
    force: false,
  });
}

/** A service that is not running yet; `lines` is its log. */
export async function serviceOf(
  home: string,
  make: (context: RecipeContext) => Promise<Made[]>,
  options: {
    docker?: DockerHost;
    capacity?: number;
    once?: boolean;
    recipe?: Recipe;
    /** As the settings file has them. */
    settings?: Record<string, unknown>;
  } = {},
): Promise<{ service: Service; lines: string[] }> {
  const lines: string[] = [];
  const raw = { capacity: options.capacity ?? 4, ...options.settings };
  const settings: AgentSettings = parseSettings(raw, (key) => key);
  const identity = await loadIdentity(home);
  const only = options.recipe ?? recipe(make);
  const service = new Service({
    ports: machine(identity),
    home,
    identity,
    settings,
    docker: options.docker ?? emptyEngine(),
    recipes: { [only.name]: only },
    apps: null,
    once: options.once ?? false,
    log: createLogger({ json: true, write: (line) => lines.push(line) }),
  });
  return { service, lines };
}
