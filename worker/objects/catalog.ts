/** The Catalog object: a shell that makes tokens and keeps only their hashes. */
import { DurableObject } from "cloudflare:workers";
import type { BuildRecord } from "../../shared/builds.ts";
import { CatalogStore } from "../core/catalog.ts";
import { CATALOG_MIGRATIONS } from "../core/catalog-schema.ts";
import type {
  CatalogRpc,
  Claim,
  ListQuery,
  PackageQuery,
  Scope,
  TokenView,
} from "../core/contracts.ts";
import { migrate } from "../core/migrations.ts";
import { sha256 } from "../secrets.ts";
import { TOKEN_PREFIX } from "../tokens.ts";
import { portsOf } from "./platform.ts";

/** Bytes of randomness in a token: 43 characters of base64url. */
const TOKEN_BYTES = 32;

export class Catalog extends DurableObject<Env> implements CatalogRpc {
  readonly #store: CatalogStore;
  readonly #newId: () => string;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    const { sql, clock, random } = portsOf(ctx);
    migrate(sql, CATALOG_MIGRATIONS);
    this.#store = new CatalogStore(sql, clock);
    this.#newId = () => random.hex(8);
  }

  async createToken(
    scope: Scope,
    name: string,
    expires_in_s: number | null,
  ): Promise<{ token: string; view: TokenView }> {
    const token = TOKEN_PREFIX + base64url(crypto.getRandomValues(new Uint8Array(TOKEN_BYTES)));
    const hash = await sha256(token);
    const view = this.#store.addToken({ id: this.#newId(), hash, scope, name }, expires_in_s);
    return { token, view };
  }

  async checkToken(token: string): Promise<{ id: string; scope: Scope } | null> {
    return this.#store.checkToken(await sha256(token));
  }

  async listTokens(): Promise<TokenView[]> {
    return this.#store.listTokens();
  }

  async revokeToken(id: string): Promise<boolean> {
    return this.#store.revokeToken(id);
  }

  async put(record: BuildRecord): Promise<void> {
    this.#store.builds.put(record);
  }

  async list(query: ListQuery): Promise<{ builds: BuildRecord[]; cursor: string | null } | null> {
    return this.#store.builds.list(query);
  }

  async packages(query: PackageQuery): Promise<BuildRecord[]> {
    return this.#store.packages.packages(query);
  }

  async claim(claim: Claim): Promise<{ kind: "ok" } | { kind: "taken"; by: string }> {
    return this.#store.packages.claim(claim);
  }

  async remembers(digest: string): Promise<boolean> {
    return this.#store.remembers(digest);
  }

  async remember(digest: string): Promise<void> {
    this.#store.remember(digest);
  }

  async pools(): Promise<string[]> {
    return this.#store.pools();
  }

  async addPool(pool: string): Promise<void> {
    this.#store.addPool(pool);
  }
}

function base64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");
}
