/** Images on one engine, as one agent makes them, lends them names and takes them away again. */
import type { Readable } from "node:stream";
import { buildKitEvents } from "./buildkit-build.ts";
import { removeGroup } from "./cgroups.ts";
import { ClassicBuild } from "./classic-build.ts";
import {
  type BuildEvent,
  builtImage,
  DockerError,
  type ImageFacts,
  type ImageSpec,
  type Images,
  type Owner,
  type PushEvent,
  type RegistryLogin,
} from "./contracts.ts";
import type { Engine, EngineInfo } from "./engine.ts";
import { isKind } from "./errors.ts";
import { PushLines } from "./image-output.ts";
import { insist } from "./insist.ts";
import { type Held, Ledger } from "./ledger.ts";
import { NameLocks } from "./name-locks.ts";
import { sleep } from "./time.ts";

/** Tries at a name that another agent's build bears on this engine, half a second apart. */
const NAME_TRIES = 120;
const NAME_RETRY_MS = 500;
/** Milliseconds in which the engine notices that nobody listens to a build. */
const SETTLE_MS = 2_000;
/** Begins every name that only we give. */
const OWN_NAMES = "railhead.local/";

export type ImagesView = {
  info: () => Promise<EngineInfo>;
  /** Name of the network that lets out only; null where there is none. */
  network: () => Promise<string | null>;
};

export class AgentImages implements Images {
  readonly #engine: Engine;
  readonly #ledger: Ledger;
  readonly #locks = new NameLocks();
  readonly #view: ImagesView;

  /** @param folder of the ledger */
  constructor(engine: Engine, folder: string, view: ImagesView) {
    this.#engine = engine;
    this.#ledger = new Ledger(folder);
    this.#view = view;
  }

  inspect(reference: string): Promise<ImageFacts | null> {
    return this.#engine.images.inspect(reference);
  }

  async pull(reference: string, login: RegistryLogin | null, signal: AbortSignal): Promise<void> {
    const { pulled } = this.#ledger;
    const before = pulled[reference];
    // Noted first: what a crash leaves is known to be ours.
    pulled[reference] = { used: Date.now(), guarded: login !== null };
    await this.#ledger.keepPulled();
    try {
      await this.#engine.images.pull(reference, login, signal);
    } catch (error) {
      if (before === undefined) delete pulled[reference];
      else pulled[reference] = before;
      await this.#ledger.keepPulled();
      throw error;
    }
  }

  isGuarded(reference: string): boolean {
    return this.#ledger.pulled[reference]?.guarded === true;
  }

  async holding<T>(references: readonly string[], work: () => Promise<T>): Promise<T> {
    return this.#locks.reading(references, async () => {
      const used = Date.now();
      for (const name of references) {
        const pulled = this.#ledger.pulled[name];
        if (pulled !== undefined) pulled.used = used;
      }
      return work();
    });
  }

  async *build(
    spec: ImageSpec,
    context: Readable,
    signal: AbortSignal,
  ): AsyncGenerator<BuildEvent, void, undefined> {
    const { builder } = spec;
    if (builder.kind === "buildkit")
      return yield* buildKitEvents(this.#engine, this.#ledger, spec, builder, context, signal);
    const info = await this.#view.info();
    const network = (await this.#view.network()) ?? "none";
    const classic = new ClassicBuild(this.#engine, this.#ledger, spec);
    yield* classic.events(context, { info, network }, signal);
  }

  async stages(owner: Owner): Promise<string[]> {
    const notes = await this.#ledger.notes(owner);
    const ids = new Set(
      notes.flatMap((note) => (note.t === "step" || note.t === "cached" ? [note.id] : [])),
    );
    const images = await this.#engine.images.list();
    const continued = new Set(images.flatMap(({ id, parent }) => (ids.has(id) ? [parent] : [])));
    return [...ids].filter((id) => !continued.has(id));
  }

  async checkName(reference: string): Promise<void> {
    const there = await this.inspect(reference);
    const borne = there?.names.includes(reference) === true;
    if (borne && !isPassing(there) && this.#ledger.pulled[reference] === undefined)
      throw taken(reference);
  }

  naming<T>(owner: Owner, reference: string, work: () => Promise<T>): Promise<T> {
    return this.#locks.writing(reference, async () => {
      const built = await this.inspect(builtImage(owner));
      if (built === null) throw new DockerError("not_found", "the image is gone from the host");
      await this.#free(reference, built.id);
      await this.#ledger.note(owner, { t: "name", reference, id: built.id });
      await this.#engine.images.tag(built.id, ...split(reference));
      try {
        return await work();
      } finally {
        await this.#unname(reference, built.id);
      }
    });
  }

  save(id: string): Promise<Readable> {
    return this.#engine.images.save(id);
  }

  pruneCache(max_bytes: number): Promise<void> {
    return this.#engine.images.prune(max_bytes);
  }

  async *push(
    reference: string,
    login: RegistryLogin | null,
    signal: AbortSignal,
  ): AsyncGenerator<PushEvent, void, undefined> {
    const lines = new PushLines();
    for await (const said of this.#engine.images.push(...split(reference), login, signal)) {
      if (said.error !== undefined) yield { kind: "failed", message: said.error };
      const chunk = lines.next(said);
      if (chunk !== null) yield { kind: "output", chunk };
      if (typeof said.aux === "object" && said.aux.Digest !== undefined)
        yield { kind: "pushed", digest: said.aux.Digest };
    }
  }

  async trim(max_bytes: number): Promise<void> {
    const { pulled } = this.#ledger;
    const newest = Object.entries(pulled).sort(([, a], [, b]) => b.used - a.used);
    let bytes = 0;
    for (const [name] of newest) {
      const found = await this.inspect(name);
      bytes += found?.size_bytes ?? 0;
      if (found !== null && bytes <= max_bytes) continue;
      // A build that begins just now may count on it.
      const gone = this.#locks.isFree(name)
        ? await this.#locks.writing(name, () => this.#discard(name))
        : false;
      if (gone) delete pulled[name];
    }
    if (newest.length > 0) await this.#ledger.keepPulled();
  }

  /** Takes away what an attempt has here. Idempotent. */
  async clean(held: Held): Promise<void> {
    const notes = await this.#ledger.notes(held);
    if (notes.length === 0) return;
    const builds = notes.flatMap((note) => (note.t === "build" ? [note.cgroup] : []));
    const cgroups = builds.filter((cgroup) => cgroup !== null);
    await this.#removeContainers(new Set(cgroups));
    // A build whose connection was cut may be in the middle of a step.
    if (notes.filter(({ t }) => t === "ended").length < builds.length) await sleep(SETTLE_MS);
    for (const note of notes) if (note.t === "name") await this.#unname(note.reference, note.id);
    await insist(() => this.#engine.images.remove(builtImage(held)));
    await this.#removeSteps(notes.flatMap((note) => (note.t === "step" ? [note.id] : [])));
    for (const cgroup of cgroups) await removeGroup(cgroup);
    await this.#ledger.forget(held);
  }

  /** Attempts that may have something here. */
  attempts(): Promise<Held[]> {
    return this.#ledger.attempts();
  }

  /** Makes a name free for the image `id`. @throws DockerError `conflict` when the host's owner has an image of that name */
  async #free(reference: string, id: string): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const there = await this.inspect(reference);
      if (there === null || there.id === id || !there.names.includes(reference)) return;
      const { pulled } = this.#ledger;
      if (pulled[reference] !== undefined && (await this.#discard(reference))) {
        delete pulled[reference];
        return this.#ledger.keepPulled();
      }
      if (!isPassing(there) || attempt === NAME_TRIES) throw taken(reference);
      await sleep(NAME_RETRY_MS);
    }
  }

  /** Takes the name away from the image `id`, if that has it. */
  async #unname(reference: string, id: string): Promise<void> {
    const there = await this.inspect(reference);
    if (there?.id !== id || !there.names.includes(reference)) return;
    await insist(() => this.#engine.images.remove(reference));
  }

  /** Removes a base image. False when something on the host uses it. */
  async #discard(name: string): Promise<boolean> {
    try {
      await this.#engine.images.remove(name);
      return true;
    } catch (error) {
      if (isKind(error, "conflict")) return false;
      if (isKind(error, "gone", "not_found")) return true;
      throw error;
    }
  }

  async #removeContainers(cgroups: ReadonlySet<string>): Promise<void> {
    if (cgroups.size === 0) return;
    for (const { Id } of await this.#engine.containers({})) {
      const parent = await this.#engine.inspect(Id).then(
        ({ HostConfig }) => HostConfig.CgroupParent ?? "",
        () => "",
      );
      if (cgroups.has(parent)) await insist(() => this.#engine.removeContainer(Id));
    }
  }

  /** Removes images of steps, and what the engine made upon them after we looked away; what others build on stays. */
  async #removeSteps(ids: readonly string[]): Promise<void> {
    const steps = new Set(ids);
    const all = await this.#engine.images.list();
    for (let grown = steps.size > 0; grown; ) {
      const more = all.filter(
        ({ id, parent, names }) => !steps.has(id) && steps.has(parent) && names.length === 0,
      );
      for (const { id } of more) steps.add(id);
      grown = more.length > 0;
    }
    const nameless = new Set(all.flatMap(({ id, names }) => (names.length === 0 ? [id] : [])));
    const left = new Set([...steps].filter((id) => nameless.has(id)));
    for (let before = -1; before !== left.size; ) {
      before = left.size;
      for (const id of [...left].reverse()) if (await this.#discard(id)) left.delete(id);
    }
  }
}

/** An image that a build made, and that bears another name while it is pushed. */
function isPassing({ names }: ImageFacts): boolean {
  return names.some((name) => name.startsWith(OWN_NAMES));
}

function taken(reference: string): DockerError {
  return new DockerError(
    "conflict",
    `the host has an image of its own that is named ${reference} (pulled or loaded there: \`docker rmi\` removes it)`,
  );
}

/** Repository and tag of a name that has both. */
function split(reference: string): [repository: string, tag: string] {
  const colon = reference.lastIndexOf(":");
  return [reference.slice(0, colon), reference.slice(colon + 1)];
}
