/**
 * The replicas of web apps that this agent has, on its disk: a successor of this process serves them on.
 *
 * <home>/apps/<build>.json   one replica, with the secret that opens its socket: mode 0600
 */
import { join } from "node:path";
import * as z from "zod";
import { attemptSchema, buildIdSchema } from "../../shared/builds.ts";
import { sha256Schema } from "../../shared/hashes.ts";
import { appCredentialSchema, appTargetSchema } from "../../shared/recipes/app.ts";
import type { Disk } from "../ports.ts";

const stateSchema = z.object({
  build: buildIdSchema,
  attempt: attemptSchema,
  ...appTargetSchema.pick({ project: true, generation: true, replica: true }).shape,
  port: appTargetSchema.shape.settings.shape.port.unwrap(),
  fingerprint: sha256Schema,
  serve: appCredentialSchema.shape.serve,
  /** The App let it serve: it stays, whatever becomes of the attempt that made it. */
  live: z.boolean(),
});
export type ReplicaState = z.infer<typeof stateSchema>;

const SUFFIX = ".json";

export class ReplicaStates {
  readonly #disk: Disk;
  readonly #folder: string;

  constructor(disk: Disk, folder: string) {
    this.#disk = disk;
    this.#folder = folder;
  }

  /** What a predecessor left; a file that cannot be read does not count. */
  async load(): Promise<ReplicaState[]> {
    await this.#disk.makeFolder(this.#folder);
    const names = await this.#disk.names(this.#folder);
    return names.filter((name) => name.endsWith(SUFFIX)).flatMap((name) => this.#read(name));
  }

  /** Settles when it survives a loss of power. */
  async put(state: ReplicaState): Promise<void> {
    await this.#disk.writeWhole(this.#file(state.build), JSON.stringify(state));
  }

  async remove(build: string): Promise<void> {
    await this.#disk.remove(this.#file(build));
  }

  #file(build: string): string {
    return join(this.#folder, build + SUFFIX);
  }

  #read(name: string): ReplicaState[] {
    try {
      const text = this.#disk.readText(join(this.#folder, name));
      return text === null ? [] : [stateSchema.parse(JSON.parse(text))];
    } catch {
      return [];
    }
  }
}
