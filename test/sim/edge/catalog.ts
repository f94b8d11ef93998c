/** As worker/objects/catalog.ts, without the tokens: nobody logs in here. */
import type { BuildRecord } from "../../../shared/builds.ts";
import { CATALOG_MIGRATIONS, CatalogStore } from "../../../worker/core/catalog.ts";
import type { CatalogRpc } from "../../../worker/core/contracts.ts";
import { migrate } from "../../../worker/core/migrations.ts";
import type { Context } from "./object.ts";
import { PlainShell, portsOf } from "./shells.ts";

export class CatalogShell extends PlainShell implements Pick<CatalogRpc, "put" | "list"> {
  readonly #store: CatalogStore;

  constructor(context: Context) {
    super();
    const { sql, clock } = portsOf(context);
    migrate(sql, CATALOG_MIGRATIONS);
    this.#store = new CatalogStore(sql, clock);
  }

  async put(record: BuildRecord): Promise<void> {
    this.#store.put(record);
  }

  async list(query: Parameters<CatalogRpc["list"]>[0]) {
    return this.#store.list(query);
  }
}
