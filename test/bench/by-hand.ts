/**
 * A build's own containers, run again without Railhead: what they were is read from the engine while a build
 * runs, then each is created, started and awaited one after the other, as a person with `docker run` would.
 */
import { randomBytes } from "node:crypto";
import { containers, engine } from "../support/engine.ts";

type Inspected = {
  Config: {
    Image: string;
    User: string;
    WorkingDir: string;
    Env: string[];
    Entrypoint: string[] | null;
    Cmd: string[];
    Labels: Record<string, string>;
  };
  HostConfig: { Mounts?: { Source: string }[]; [member: string]: unknown };
};

/** The containers of one build, in order. */
export type Recipe = { phases: Inspected[]; version: string; commit: string };

const PHASES = ["fetch", "build"];
/** Label of what this file makes, so that nothing of Railhead takes it for its own. */
const LABEL = "railhead-bench";

/** Watches a build until both its containers were seen. */
export async function observe(
  build: string,
  version: string,
  commit: string,
  ended: () => boolean,
): Promise<Recipe> {
  const seen = new Map<string, Inspected>();
  while (seen.size < PHASES.length) {
    if (ended()) throw new Error(`only ${[...seen.keys()].join()} of ${build} was seen`);
    for (const { Id, Labels } of await containers(`railhead.build=${build}`)) {
      const phase = Labels["railhead.phase"] ?? "";
      if (!PHASES.includes(phase) || seen.has(phase)) continue;
      const found = await engine<Inspected>("GET", `/containers/${Id}/json`).catch(() => null);
      if (found !== null) seen.set(phase, found);
    }
  }
  return { phases: PHASES.map((phase) => seen.get(phase) as Inspected), version, commit };
}

/** The volumes that one repository's builds by hand use: a fresh set is a cold cache. */
export class ByHand implements AsyncDisposable {
  readonly #prefix = `railhead-bench-${randomBytes(4).toString("hex")}`;
  readonly #caches = new Map<string, string>();

  /** Milliseconds from creating the first container to the end of the last one. */
  async run(recipe: Recipe, version: string, commit: string): Promise<number> {
    const own = new Map<string, string>();
    const bodies = recipe.phases.map((phase) => this.#body(phase, recipe, version, commit, own));
    const image = recipe.phases[0]?.Config.Image ?? "";
    for (const name of [...own.values(), ...this.#caches.values()])
      await this.#readyVolume(name, image);

    const ids: string[] = [];
    const begin = performance.now();
    for (const body of bodies) {
      const { Id } = await engine<{ Id: string }>("POST", "/containers/create", body);
      ids.push(Id);
      await engine("POST", `/containers/${Id}/start`);
      const { StatusCode } = await engine<{ StatusCode: number }>("POST", `/containers/${Id}/wait`);
      if (StatusCode !== 0) throw new Error(`by hand: a container ended with ${StatusCode}`);
    }
    const ms = performance.now() - begin;
    for (const id of ids) await engine("DELETE", `/containers/${id}?v=1&force=1`);
    for (const name of own.values()) await engine("DELETE", `/volumes/${name}`);
    return ms;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const name of this.#caches.values()) await engine("DELETE", `/volumes/${name}?force=1`);
  }

  /** The create call of a phase for another version of the same repository, on volumes of ours. */
  #body(
    { Config, HostConfig }: Inspected,
    recipe: Recipe,
    version: string,
    commit: string,
    own: Map<string, string>,
  ): object {
    const adapt = <T>(value: T): T =>
      JSON.parse(
        JSON.stringify(value)
          .replaceAll(recipe.commit, commit)
          .replaceAll(JSON.stringify(recipe.version), JSON.stringify(version))
          .replaceAll(`=${recipe.version}"`, `=${version}"`),
      ) as T;
    const mounts = (HostConfig.Mounts ?? []).map((mount) => {
      // A workspace carries the build's id and is its own; every other volume is a cache.
      const shared = mount.Source.startsWith("railhead-go-");
      const known = shared ? this.#caches : own;
      const name = known.get(mount.Source) ?? `${this.#prefix}-${randomBytes(4).toString("hex")}`;
      known.set(mount.Source, name);
      return { ...mount, Source: name };
    });
    return {
      ...adapt(Config),
      Hostname: "",
      OpenStdin: false,
      StdinOnce: false,
      AttachStdin: false,
      Labels: { [LABEL]: "1" },
      HostConfig: { ...HostConfig, Mounts: mounts },
    };
  }

  /** A volume that the build's user may write. */
  async #readyVolume(name: string, image: string): Promise<void> {
    await engine("POST", "/volumes/create", { Name: name, Labels: { [LABEL]: "1" } });
    const { Id } = await engine<{ Id: string }>("POST", "/containers/create", {
      Image: image,
      User: "0:0",
      Entrypoint: ["chown", "1000:1000", "/volume"],
      Labels: { [LABEL]: "1" },
      HostConfig: {
        NetworkMode: "none",
        Mounts: [{ Type: "volume", Source: name, Target: "/volume" }],
      },
    });
    await engine("POST", `/containers/${Id}/start`);
    await engine("POST", `/containers/${Id}/wait`);
    await engine("DELETE", `/containers/${Id}`);
  }
}
