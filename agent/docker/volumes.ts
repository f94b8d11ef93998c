/** Volumes that belong to the builder: with a hard size where the host can give one, else counted by a watcher. */
import { chown } from "node:fs/promises";
import { Readable } from "node:stream";
import { pack } from "tar-stream";
import { DockerError, type Mount, type Owner, type VolumeSpec } from "./contracts.ts";
import type { Disks } from "./disks.ts";
import type { Engine, VolumeInfo } from "./engine.ts";
import { isKind } from "./errors.ts";
import { containerName, LABEL, type Labels, numberLabel, ownerLabels } from "./labels.ts";
import { BUILDER_ID } from "./sandbox.ts";
import type { Sight } from "./sight.ts";
import { tool } from "./tools.ts";

export type Volume = { name: string; labels: Labels; bytes: number | null };

/** A volume without a hard size, and the bytes it may grow to. */
export type Watched = { name: string; limit: number };

export class Volumes {
  readonly #engine: Engine;
  readonly #disks: Disks;
  readonly #agent: string;
  readonly #sight: () => Promise<Sight>;
  /** Volumes known to belong to the builder, where that takes a container to do. */
  readonly #handed = new Set<string>();

  constructor(engine: Engine, disks: Disks, agent: string, sight: () => Promise<Sight>) {
    this.#engine = engine;
    this.#disks = disks;
    this.#agent = agent;
    this.#sight = sight;
  }

  /** Makes the volume unless it is there. Idempotent, also after a crash in the middle of it. */
  async create(spec: VolumeSpec): Promise<void> {
    const sight = await this.#sight();
    const labels: Labels = { ...spec.labels, [LABEL.agent]: this.#agent };
    if (spec.bytes !== null) labels[LABEL.bytes] = String(spec.bytes);
    const disk = sight.quota && spec.bytes !== null;
    const device = this.#disks.device(spec.name);
    const options: Labels = disk ? { type: "ext4", device, o: "nosuid,nodev,noatime" } : {};
    await this.#engine.createVolume(spec.name, labels, options);
    const made = await this.#engine.inspectVolume(spec.name);
    await this.#attach(made);
    if (!onDisk(made) && sight.volumes) await chown(made.Mountpoint, BUILDER_ID, BUILDER_ID);
  }

  /** Idempotent. @throws DockerError `conflict` while a container uses it */
  async remove(name: string): Promise<void> {
    try {
      await this.#engine.removeVolume(name);
    } catch (error) {
      if (!isKind(error, "gone")) throw error;
    }
    this.#handed.delete(name);
    if ((await this.#sight()).quota) await this.#disks.remove(name);
  }

  /** Volumes of this agent with the label, `key` or `key=value`. */
  async list(label: string): Promise<Volume[]> {
    const own = `${LABEL.agent}=${this.#agent}`;
    const found = await this.#engine.volumes([own, label]);
    return Promise.all(
      found.map(async (volume) => ({
        name: volume.Name,
        labels: volume.Labels,
        bytes: await this.#measure(volume),
      })),
    );
  }

  /** Removes disks that no volume of the engine has: a crash, or somebody's `docker volume rm`, left them. */
  async sweep(): Promise<string[]> {
    if (!(await this.#sight()).quota) return [];
    // In this order: a disk that is listed had its volume before it.
    const disks = await this.#disks.list();
    const volumes = new Set((await this.#engine.volumes([])).map((volume) => volume.Name));
    const orphans = disks.filter((name) => !volumes.has(name));
    for (const name of orphans) await this.#disks.remove(name);
    await this.#disks.freeDeleted();
    return orphans;
  }

  /**
   * Readies a container's volumes: there (the engine would make a missing one, without a label), on their disks after a
   * boot of the host, and the builder's.
   *
   * @throws DockerError `not_found` for a volume that was never made
   */
  async ready(owner: Owner, phase: string, image: string, mounts: Mount[]): Promise<void> {
    await Promise.all(mounts.map(async ({ volume }) => this.#attach(await this.#known(volume))));
    if ((await this.#sight()).volumes) return;
    const fresh = mounts.filter((mount) => !mount.read_only && !this.#handed.has(mount.volume));
    if (fresh.length > 0) await this.#handOver(owner, phase, image, fresh);
  }

  /** Which of these volumes have a limit and no disk to enforce it. */
  async watched(names: string[]): Promise<Watched[]> {
    const found = await Promise.all(names.map((name) => this.#engine.inspectVolume(name)));
    return found.flatMap((volume) => {
      const limit = numberLabel(volume.Labels, LABEL.bytes);
      return limit === null || onDisk(volume) ? [] : [{ name: volume.Name, limit }];
    });
  }

  /** Bytes in the volume; null when it cannot be known. */
  async size(name: string): Promise<number | null> {
    return this.#measure(await this.#engine.inspectVolume(name));
  }

  async #known(name: string): Promise<VolumeInfo> {
    try {
      return await this.#engine.inspectVolume(name);
    } catch (error) {
      if (!isKind(error, "gone")) throw error;
      throw new DockerError("not_found", `the volume ${name} does not exist: create it first`);
    }
  }

  async #attach(volume: VolumeInfo): Promise<void> {
    const bytes = numberLabel(volume.Labels, LABEL.bytes);
    if (onDisk(volume) && bytes !== null) await this.#disks.attach(volume.Name, bytes);
  }

  async #measure(volume: VolumeInfo): Promise<number | null> {
    if (onDisk(volume)) return this.#disks.used(volume.Name);
    if ((await this.#sight()).volumes) {
      // Files that go away while it counts make du fail, and are no way around the limit.
      const said = await tool("du", ["-skx", "--", volume.Mountpoint], { failing: "printed" });
      return Number.parseInt(said, 10) * 1024;
    }
    return (await this.#engine.volumeSizes()).get(volume.Name) ?? null;
  }

  /**
   * Gives volumes to the builder where this process cannot reach into them: the engine unpacks an archive over them in
   * a container that never starts.
   */
  async #handOver(owner: Owner, phase: string, image: string, mounts: Mount[]): Promise<void> {
    const tar = pack();
    for (const mount of mounts) {
      const name = `${mount.target.replace(/^\//, "")}/`;
      tar.entry({ name, type: "directory", mode: 0o755, uid: BUILDER_ID, gid: BUILDER_ID });
    }
    tar.finalize();
    const id = await this.#engine.createContainer(containerName(owner, `${phase}-volumes`), {
      Image: image,
      Entrypoint: ["true"],
      Labels: ownerLabels(owner),
      HostConfig: {
        NetworkMode: "none",
        Mounts: mounts.map((mount) => ({
          Type: "volume",
          Source: mount.volume,
          Target: mount.target,
          VolumeOptions: { NoCopy: true, Labels: {}, DriverConfig: { Name: "local", Options: {} } },
        })),
      },
    });
    try {
      await this.#engine.putArchive(id, "/", Readable.from(tar));
    } finally {
      await this.#engine.removeContainer(id);
    }
    for (const mount of mounts) this.#handed.add(mount.volume);
  }
}

function onDisk(volume: VolumeInfo): boolean {
  return volume.Options?.device !== undefined;
}
