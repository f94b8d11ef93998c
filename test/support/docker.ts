/** A real engine for tests, under an agent name of its own: nothing here touches what other tests or people run. */
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type {
  Chunk,
  DockerHost,
  Exit,
  Owner,
  RunHandle,
  RunSpec,
} from "../../agent/docker/contracts.ts";
import { workspaceVolume } from "../../agent/docker/contracts.ts";
import { type DockerHostOptions, dockerHost } from "../../agent/docker/index.ts";
import { ownerLabels } from "../../agent/docker/labels.ts";

const run = promisify(execFile);
const IMAGES = join(import.meta.dirname, "../../images");
const MIB = 1024 ** 2;

let ready: Promise<string> | null = null;

/**
 * Makes sure that an engine runs and has the Go builder image.
 *
 * @returns the image's reference
 * @throws with the scripts' own words where there can be no engine: a test that needs one fails, it is never skipped
 */
export function readyDocker(): Promise<string> {
  ready ??= (async () => {
    await run(join(IMAGES, "engine.sh"));
    const { stdout } = await run(join(IMAGES, "prepare.sh"), ["go"]);
    return stdout.trim().split("\n").at(-1) ?? "";
  })();
  return ready;
}

export type DockerWorld = AsyncDisposable & {
  agent: string;
  folder: string;
  image: string;
  host: DockerHost;
  owner(attempt?: number): Owner;
  /** A hardened container that runs a shell script in `/tmp`, without network and volumes unless `over` says so. */
  spec(owner: Owner, script: string, over?: Partial<RunSpec>): RunSpec;
  /** Creates the owner's workspace volume. @returns the mount for it at `/work` */
  workspace(owner: Owner, bytes: number): Promise<RunSpec["mounts"][number]>;
};

/** An agent of its own on the machine's engine; disposed of with all that it has there. */
export async function dockerWorld(options: Partial<DockerHostOptions> = {}): Promise<DockerWorld> {
  const image = await readyDocker();
  const agent = `test.${randomBytes(8).toString("hex")}`;
  const folder = await mkdtemp(join(tmpdir(), "railhead-docker-"));
  const host = dockerHost({ agent, folder, ...options });
  return {
    agent,
    folder,
    image,
    host,
    owner: (attempt = 1) => ({ agent, build: randomBytes(16).toString("hex"), attempt }),
    spec: (owner, script, over = {}) => ({
      owner,
      phase: "build",
      image,
      command: ["sh", "-c", script],
      env: {},
      working_dir: "/tmp",
      mounts: [],
      network: { kind: "none" },
      limits: { cpus: 2, memory_bytes: 256 * MIB, pids: 128, disk_bytes: 256 * MIB },
      deadline_ms: 120_000,
      stdin: null,
      ...over,
    }),
    async workspace(owner, bytes) {
      const volume = workspaceVolume(owner);
      await host.createVolume({ name: volume, labels: ownerLabels(owner), bytes });
      return { volume, target: "/work", read_only: false };
    },
    async [Symbol.asyncDispose]() {
      await host.retire();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export type Finished = { exit: Exit; stdout: string; stderr: string };

/** All that a container wrote. */
export async function collect(
  chunks: AsyncIterable<Chunk>,
): Promise<Record<Chunk["stream"], Buffer>> {
  const parts: Record<Chunk["stream"], Buffer[]> = { stdout: [], stderr: [] };
  for await (const { stream, data } of chunks) parts[stream].push(data);
  return { stdout: Buffer.concat(parts.stdout), stderr: Buffer.concat(parts.stderr) };
}

/** Starts a container and reads it to its end. */
export async function finish(handle: RunHandle): Promise<Finished> {
  await handle.start();
  const { stdout, stderr } = await collect(handle.output());
  return { exit: await handle.wait(), stdout: stdout.toString(), stderr: stderr.toString() };
}
