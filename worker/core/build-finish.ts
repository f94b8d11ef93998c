/**
 * What happens behind a stored decision: the manifest is put (protocol rules 4 and 5), the log is copied, what
 * was not published, and the context, is removed. Each is idempotent, driven again by alarm and constructor until it is done.
 */
import { PUBLISH_DEADLINE_MS } from "../../shared/limits.ts";
import { publicationKey } from "../../shared/recipes/index.ts";
import { type Lifecycle, publishedKeys } from "./build-lifecycle.ts";
import type { BuildParts } from "./build-parts.ts";
import { REASONS } from "./build-reasons.ts";
import type { BuildRow } from "./build-rows.ts";
import type { Uploads } from "./build-uploads.ts";
import { isIntact, logKey, type Manifest, manifestKey } from "./manifest.ts";

/** Milliseconds before a step that R2 did not answer is tried again. */
const AGAIN_MS = 10_000;

export class Finish {
  readonly #parts: BuildParts;
  readonly #life: Lifecycle;
  readonly #uploads: Uploads;
  #driving: Promise<void> | null = null;

  constructor(parts: BuildParts, life: Lifecycle, uploads: Uploads) {
    this.#parts = parts;
    this.#life = life;
    this.#uploads = uploads;
  }

  /** Does what is due. Never throws; one run at a time, and a call in the middle waits for it. */
  async drive(): Promise<void> {
    this.#driving ??= this.#drive().finally(() => {
      this.#driving = null;
    });
    return this.#driving;
  }

  async #drive(): Promise<void> {
    await this.#attempt("publish", (row) => this.#publish(row));
    await this.#attempt("archive", (row) => this.#archive(row));
    await this.#attempt("context", (row) => this.#dropContext(row));
    await this.#attempt("sweep", (row) => this.#sweep(row));
  }

  /** One step, when its deadline has come. That is moved before the step: an object that dies over it is woken again. */
  async #attempt(name: string, step: (row: BuildRow) => Promise<void>): Promise<void> {
    const { rows, deadlines, ports } = this.#parts;
    const row = rows.build();
    const now = ports.clock.now();
    const at = row && deadlines.at(name);
    if (row === null || at === null || at > now) return;
    deadlines.set(name, now + AGAIN_MS);
    deadlines.rearm();
    try {
      await step(row);
      deadlines.clear(name);
      deadlines.rearm();
    } catch (error) {
      // Its deadline says when it is tried again.
      ports.report(`${name} of build ${row.id}`, error);
    }
  }

  async #publish(row: BuildRow): Promise<void> {
    if (row.stage !== "publishing" || row.manifest === null) return;
    const since = this.#parts.ports.clock.now() - Date.parse(row.manifest.created_at);
    try {
      const published =
        since < PUBLISH_DEADLINE_MS ? await this.#put(row, row.manifest) : await this.#look(row);
      if (published === null) this.#life.end("failed", "storage", REASONS.storage);
      else this.#life.succeed(row, published);
    } catch (error) {
      // Not even the key could be read for as long again: a bound is a bound.
      if (since < 2 * PUBLISH_DEADLINE_MS) throw error;
      this.#life.end("failed", "storage", REASONS.storage);
    }
  }

  /** Puts the manifest; what lies at the key then. */
  async #put(row: BuildRow, manifest: Manifest): Promise<Manifest> {
    const { store } = this.#parts.ports;
    const key = manifestKey(publicationKey(row.target, row.id));
    if (await store.putManifest(key, manifest, null)) return manifest;
    const present = await store.manifest(key);
    if (present === null) throw new Error("the manifest at this key went away");
    if (present.manifest.build_id === row.id || (await isIntact(store, present.manifest)))
      return present.manifest;
    if (await store.putManifest(key, manifest, present.etag)) return manifest;
    throw new Error("the manifest at this key has changed");
  }

  /** What lies at the key, unless its files do not. */
  async #look(row: BuildRow): Promise<Manifest | null> {
    const { store } = this.#parts.ports;
    const present = await store.manifest(manifestKey(publicationKey(row.target, row.id)));
    if (present === null) return null;
    const good = present.manifest.build_id === row.id || (await isIntact(store, present.manifest));
    return good ? present.manifest : null;
  }

  /** Copies the log to R2; its rows go once the copy is seen to be whole. */
  async #archive(row: BuildRow): Promise<void> {
    const { rows, log, ports } = this.#parts;
    if (row.stage !== "ended" || row.log_moved) return;
    const key = logKey(row.target.visibility, row.id);
    const { bytes } = log.size();
    await ports.store.putLog(key, bytes, log.chunks());
    if ((await ports.store.head(key))?.size !== bytes) throw new Error("the copy is not whole");
    rows.transaction(() => {
      rows.patch({ log_moved: true });
      log.clear();
    });
  }

  /** Nothing of an ended build reads its context any more. */
  async #dropContext(row: BuildRow): Promise<void> {
    if (row.stage !== "ended" || row.context === null) return;
    if (!row.context.kept) await this.#parts.ports.store.remove([row.context.key]);
    this.#parts.rows.patch({ context: null });
  }

  async #sweep(row: BuildRow): Promise<void> {
    if (row.stage !== "ended") return;
    await this.#uploads.sweep(publishedKeys(row));
  }
}
