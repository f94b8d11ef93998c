/** The DockerHost: one engine, as one agent sees it. */
import { join } from "node:path";
import { Apps } from "./apps.ts";
import {
  builtImage,
  DockerError,
  type DockerHost,
  type HostFacts,
  type Owner,
  type RunHandle,
  type RunSpec,
  type VolumeSpec,
} from "./contracts.ts";
import { Disks } from "./disks.ts";
import { Engine, type EngineInfo, type Inspected } from "./engine.ts";
import { isKind } from "./errors.ts";
import { AgentImages } from "./images.ts";
import { insist } from "./insist.ts";
import { containerName, LABEL, type Labels, ownerLabels } from "./labels.ts";
import { OutboundNetwork } from "./network.ts";
import { type Known, knownFrom, Run } from "./run.ts";
import { sandbox } from "./sandbox.ts";
import { diskOf, hasSecurityOption, type Sight, sightOf } from "./sight.ts";
import { type Volume, Volumes } from "./volumes.ts";

export type DockerHostOptions = {
  /** The agent's id: labels, and the name of its network. */
  agent: string;
  /** Folder of the agent, where the disks of its volumes live. */
  folder: string;
  /** Path of the engine's socket. */
  socket?: string;
  /** CIDRs that containers with `outbound` may reach although they are private or the host's: a proxy, a mirror. */
  allow_addresses?: string[];
};

export const DEFAULT_SOCKET = "/var/run/docker.sock";

export class Host implements DockerHost {
  readonly images: AgentImages;
  readonly apps: Apps;
  readonly #agent: string;
  readonly #engine: Engine;
  readonly #volumes: Volumes;
  readonly #network: OutboundNetwork;
  /** Handles of containers that have not ended, by id. */
  readonly #runs = new Map<string, Set<Run>>();
  #about: Promise<{ info: EngineInfo; sight: Sight }> | null = null;

  constructor(options: DockerHostOptions) {
    this.#agent = options.agent;
    this.#engine = new Engine(options.socket ?? DEFAULT_SOCKET);
    const disks = new Disks(join(options.folder, "disks"));
    const sight = async () => (await this.#know()).sight;
    this.#volumes = new Volumes(this.#engine, disks, options.agent, sight);
    this.#network = new OutboundNetwork(this.#engine, options.agent, options.allow_addresses ?? []);
    const view = {
      info: async () => (await this.#know()).info,
      network: () => this.#network.settleForRoot(),
    };
    this.images = new AgentImages(this.#engine, join(options.folder, "images"), view);
    this.apps = new Apps(this.#engine, options.agent, view);
  }

  async facts(): Promise<HostFacts> {
    const info = await this.#engine.info();
    const sight = await sightOf(info);
    const disk = await diskOf(info.DockerRootDir);
    return {
      engine_id: info.ID,
      engine_version: info.ServerVersion,
      cpus: info.NCPU,
      memory_bytes: info.MemTotal,
      cgroup_version: info.CgroupVersion ?? "1",
      cgroup_driver: info.CgroupDriver ?? null,
      live_restore: info.LiveRestoreEnabled ?? false,
      userns: hasSecurityOption(info, "userns"),
      seccomp: hasSecurityOption(info, "seccomp"),
      firewall: await this.#network.able(),
      quota: sight.quota,
      data_root: info.DockerRootDir,
      disk_free_bytes: disk.free,
      disk_total_bytes: disk.total,
    };
  }

  async imageId(reference: string): Promise<string | null> {
    return (await this.images.inspect(reference))?.id ?? null;
  }

  pull(reference: string): Promise<void> {
    return this.#engine.images.pull(reference, null);
  }

  async create(spec: RunSpec): Promise<RunHandle> {
    this.#own(spec.owner);
    const { info } = await this.#know();
    await this.#volumes.ready(spec.owner, spec.phase, spec.image, spec.mounts);
    const outbound = spec.network.kind === "outbound" ? await this.#network.settle() : null;
    const name = containerName(spec.owner, spec.phase);
    const body = sandbox(spec, { cpus: info.NCPU, outbound });
    return this.#handle({
      id: await this.#engine.createContainer(name, body),
      name,
      deadline_ms: spec.deadline_ms,
      volumes: spec.mounts.flatMap((mount) => (mount.read_only ? [] : [mount.volume])),
      stdin: spec.stdin,
    });
  }

  async adopt(owner: Owner, phase: string): Promise<RunHandle | null> {
    this.#own(owner);
    const found = await this.#find(containerName(owner, phase));
    if (found === null || found.Config.Labels[LABEL.agent] !== this.#agent) return null;
    const run = this.#handle(knownFrom(found));
    await run.resume(found);
    return run;
  }

  createVolume(spec: VolumeSpec): Promise<void> {
    return this.#volumes.create(spec);
  }

  removeVolume(name: string): Promise<void> {
    return this.#volumes.remove(name);
  }

  volumes(label: string): Promise<Volume[]> {
    return this.#volumes.list(label);
  }

  async clean(owner: Owner): Promise<void> {
    this.#own(owner);
    await this.#remove(ownerLabels(owner), () => true);
    await this.images.clean(owner);
  }

  async reap(agent: string, live: { build: string; attempt: number }[]): Promise<string[]> {
    const alive = new Set(live.map(({ build, attempt }) => `${build} ${attempt}`));
    const labels = { [LABEL.agent]: agent };
    const removed = await this.#remove(labels, (found) => {
      const build = found[LABEL.build];
      // A cache belongs to no attempt.
      return build !== undefined && !alive.has(`${build} ${found[LABEL.attempt]}`);
    });
    for (const held of await this.images.attempts()) {
      if (alive.has(`${held.build} ${held.attempt}`)) continue;
      await this.images.clean(held);
      removed.push(builtImage(held));
    }
    return [...removed, ...(await this.#volumes.sweep())];
  }

  async retire(): Promise<void> {
    await this.#remove({ [LABEL.agent]: this.#agent }, () => true);
    for (const held of await this.images.attempts()) await this.images.clean(held);
    await this.images.trim(0);
    await this.apps.trimProjects([]);
    await this.#volumes.sweep();
    await insist(() => this.#network.remove());
  }

  /**
   * Removes what has the labels and is condemned: containers first, which hold the rest.
   *
   * @returns the names of what was removed
   */
  async #remove(labels: Labels, condemned: (labels: Labels) => boolean): Promise<string[]> {
    const removed: string[] = [];
    for (const container of await this.#engine.containers(labels)) {
      if (!condemned(container.Labels)) continue;
      for (const run of this.#runs.get(container.Id) ?? []) run.letGo();
      await insist(() => this.#engine.removeContainer(container.Id));
      removed.push(container.Names[0]?.slice(1) ?? container.Id);
    }
    const all = Object.entries(labels).map(([key, value]) => `${key}=${value}`);
    for (const volume of await this.#engine.volumes(all)) {
      if (!condemned(volume.Labels ?? {})) continue;
      await insist(() => this.#volumes.remove(volume.Name));
      removed.push(volume.Name);
    }
    return removed;
  }

  #handle(known: Known): Run {
    const run = new Run(this.#engine, this.#volumes, known);
    const same = this.#runs.get(run.id) ?? new Set();
    this.#runs.set(run.id, same.add(run));
    run.ended.then(() => {
      same.delete(run);
      if (same.size === 0) this.#runs.delete(run.id);
    });
    return run;
  }

  async #find(name: string): Promise<Inspected | null> {
    try {
      return await this.#engine.inspect(name);
    } catch (error) {
      if (isKind(error, "gone")) return null;
      throw error;
    }
  }

  /** What does not change while the engine runs; asked once. */
  #know(): Promise<{ info: EngineInfo; sight: Sight }> {
    this.#about ??= this.#engine
      .info()
      .then(async (info) => ({ info, sight: await sightOf(info) }))
      .catch((error: unknown) => {
        this.#about = null;
        throw error;
      });
    return this.#about;
  }

  #own(owner: Owner): void {
    if (owner.agent === this.#agent) return;
    throw new DockerError("invalid", `${owner.agent} is not this agent, ${this.#agent}`);
  }
}
