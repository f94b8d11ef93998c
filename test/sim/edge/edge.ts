/** The edge: objects by name, the bucket, the secrets. */
import type { BuildRpc, CatalogRpc, PoolRpc, TargetRpc } from "../../../worker/core/contracts.ts";
import { RemoteBucket } from "./bucket.ts";
import { BuildShell } from "./build.ts";
import { CatalogShell } from "./catalog.ts";
import { type Context, DurableObject, type Parts } from "./object.ts";
import { PoolShell } from "./pool.ts";
import { type Caller, stubOf } from "./rpc.ts";
import { TargetShell } from "./target.ts";
import { BookVault } from "./vault.ts";

export class Edge {
  readonly bucket: RemoteBucket;
  readonly vault = new BookVault();
  readonly builds = new Map<string, DurableObject<BuildShell>>();
  readonly pools = new Map<string, DurableObject<PoolShell>>();
  readonly targets = new Map<string, DurableObject<TargetShell>>();
  readonly catalogs = new Map<string, DurableObject<CatalogShell>>();
  /** Called when something that a Build wrote is confirmed. */
  watch: (build: DurableObject<BuildShell>) => void = () => {};
  /** Called when a pool gives an attempt up. */
  lost: (build: string, attempt: number, why: string) => void = () => {};
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
    const { kernel, random, faults } = parts;
    this.bucket = new RemoteBucket(kernel, random.fork(), faults);
  }

  build(from: Caller, id: string): BuildRpc {
    return stubOf<BuildRpc, BuildShell>(this.#parts, from, () => this.buildObject(id));
  }

  pool(from: Caller, name: string): Pick<PoolRpc, keyof PoolShell & keyof PoolRpc> {
    return stubOf<Pick<PoolRpc, keyof PoolShell & keyof PoolRpc>, PoolShell>(
      this.#parts,
      from,
      () => this.poolObject(name),
    );
  }

  target(from: Caller, key: string): TargetRpc {
    return stubOf<TargetRpc, TargetShell>(this.#parts, from, () =>
      named(this.targets, key, () =>
        this.#object(`target:${key}`, (context) => new TargetShell(context, this)),
      ),
    );
  }

  catalog(from: Caller): Pick<CatalogRpc, keyof CatalogShell & keyof CatalogRpc> {
    return stubOf<Pick<CatalogRpc, keyof CatalogShell & keyof CatalogRpc>, CatalogShell>(
      this.#parts,
      from,
      () =>
        named(this.catalogs, "catalog", () =>
          this.#object("catalog:catalog", (context) => new CatalogShell(context)),
        ),
    );
  }

  buildObject(id: string): DurableObject<BuildShell> {
    return named(this.builds, id, () => {
      const object: DurableObject<BuildShell> = this.#object(
        `build:${id}`,
        (context) => new BuildShell(context, this),
        () => this.watch(object),
      );
      return object;
    });
  }

  poolObject(name: string): DurableObject<PoolShell> {
    return named(this.pools, name, () =>
      this.#object(`pool:${name}`, (context) => new PoolShell(context, this)),
    );
  }

  /** Every object there is. */
  *objects(): Generator<DurableObject<BuildShell | PoolShell | TargetShell | CatalogShell>> {
    for (const objects of [this.builds, this.pools, this.targets, this.catalogs])
      yield* objects.values() as Iterable<DurableObject<BuildShell>>;
  }

  close(): void {
    for (const { storage } of this.objects()) storage.close();
  }

  #object<S extends BuildShell | PoolShell | TargetShell | CatalogShell>(
    name: string,
    make: (context: Context) => S,
    confirmed: (() => void) | null = null,
  ): DurableObject<S> {
    return new DurableObject<S>(
      { ...this.#parts, random: this.#parts.random.fork() },
      name,
      make,
      confirmed,
    );
  }
}

function named<T>(objects: Map<string, T>, name: string, make: () => T): T {
  const known = objects.get(name);
  if (known !== undefined) return known;
  const made = make();
  objects.set(name, made);
  return made;
}
