/** As worker/objects/catalog.ts, without the tokens: nobody logs in here. */
import type { BuildRecord } from "../../../shared/builds.ts";
import { CatalogStore } from "../../../worker/core/catalog.ts";
import { CATALOG_MIGRATIONS } from "../../../worker/core/catalog-schema.ts";
import type { CatalogRpc, Claim, PackageQuery } from "../../../worker/core/contracts.ts";
import { migrate } from "../../../worker/core/migrations.ts";
import type { Context } from "./object.ts";
import { PlainShell, portsOf } from "./shells.ts";

export class CatalogShell
  extends PlainShell
  implements Pick<CatalogRpc, "put" | "list" | "claim" | "packages">
{
  readonly #store: CatalogStore;

  constructor(context: Context) {
    super();
    const { sql, clock } = portsOf(context);
    migrate(sql, CATALOG_MIGRATIONS);
    this.#store = new CatalogStore(sql, clock);
  }

  async put(record: BuildRecord): Promise<void> {
    this.#store.builds.put(record);
  }

  async list(query: Parameters<CatalogRpc["list"]>[0]) {
    return this.#store.builds.list(query);
  }

  async claim(claim: Claim) {
    return this.#store.packages.claim(claim);
  }

  async packages(query: PackageQuery) {
    return this.#store.packages.packages(query);
  }
}
