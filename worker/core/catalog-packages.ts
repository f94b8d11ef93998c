/** Packages by name: which repository a name belongs to, and what was built of it (spec erlang.md). */
import type { BuildRecord } from "../../shared/builds.ts";
import { newestFirst, type Position } from "./catalog-builds.ts";
import type { Claim, PackageQuery } from "./contracts.ts";
import type { Sql, SqlValue } from "./ports.ts";

/** The host whose webhooks prove that a repository is what it is called. */
const GITHUB = "github.com";

type NameRow = { repository: string; url: string; verified: number };
type Row = Position & { record: string };

export class PackageIndex {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  /** Ended builds of packages, the last that ended first. */
  packages(query: PackageQuery): BuildRecord[] {
    const wanted = query.success === undefined ? [true, false] : [query.success];
    // Each is a walk of its own along an index.
    return wanted
      .flatMap((success) => this.#select(success, query))
      .sort(newestFirst)
      .slice(0, query.limit)
      .map(({ record }) => JSON.parse(record));
  }

  /** Gives a name to a repository, unless another one has it that this claim does not outrank. */
  claim(claim: Claim): { kind: "ok" } | { kind: "taken"; by: string } {
    const { full_name, repository, url, verified } = claim;
    return this.#sql.transaction(() => {
      const held = this.#sql.exec<NameRow>(
        "SELECT repository, url, verified FROM names WHERE full_name = ?",
        full_name,
      )[0];
      if (held?.repository === repository) {
        if (verified && held.verified === 0)
          this.#sql.exec("UPDATE names SET verified = 1 WHERE full_name = ?", full_name);
        return { kind: "ok" };
      }
      if (held !== undefined && !outranks(claim, held)) return { kind: "taken", by: held.url };
      this.#sql.exec(
        "INSERT OR REPLACE INTO names (full_name, repository, url, verified) VALUES (?, ?, ?, ?)",
        full_name,
        repository,
        url,
        Number(verified),
      );
      return { kind: "ok" };
    });
  }

  #select(success: boolean, query: PackageQuery): Row[] {
    const where = ["b.success = ?", "b.visibility = 'public'"];
    const bindings: SqlValue[] = [Number(success)];
    for (const member of ["name", "namespace"] as const)
      if (query[member] !== undefined) {
        where.push(`b.${member} = ?`);
        bindings.push(query[member]);
      }
    if (query.versions.length > 0) {
      where.push(IS_ONE_OF);
      bindings.push(JSON.stringify(query.versions));
    }
    if (!query.strangers) where.push(HAS_ITS_NAME);
    if (query.newest) where.push(`NOT EXISTS (${query.strangers ? NEWER : NEWER_OF_REPOSITORY})`);
    return this.#sql.exec<Row>(
      `SELECT b.ended_at AS at, b.build, b.record FROM builds AS b INDEXED BY ${indexFor(query)}
       WHERE ${where.join(" AND ")} ORDER BY b.ended_at DESC, b.build DESC LIMIT ?`,
      ...bindings,
      query.limit,
    );
  }
}

const IS_ONE_OF = `EXISTS (SELECT 1 FROM json_each(?) AS v
  WHERE coalesce(v.value ->> 'ref', b.version) IS b.version AND coalesce(v.value ->> 'erl', b.variant) IS b.variant)`;

const HAS_ITS_NAME = `EXISTS (SELECT 1 FROM names AS n
  WHERE n.full_name = b.namespace || '/' || b.name AND n.repository = b.repository)`;

const NEWER = `SELECT 1 FROM builds AS newer INDEXED BY packages_by_name
  WHERE newer.success = b.success AND newer.name = b.name AND newer.namespace = b.namespace
    AND newer.version IS b.version AND newer.variant IS b.variant
    AND (newer.ended_at, newer.build) > (b.ended_at, b.build)`;
const NEWER_OF_REPOSITORY = `${NEWER} AND newer.repository = b.repository`;

function indexFor({ name, namespace }: PackageQuery): string {
  if (name !== undefined) return "packages_by_name";
  return namespace === undefined ? "packages_newest" : "builds_by_namespace";
}

/**
 * A webhook shows who owns a repository, so its claim counts more than one that anybody could make. Of two such
 * claims the one counts that GitHub itself has under that name.
 */
function outranks(claim: Claim, held: NameRow): boolean {
  if (!claim.verified) return false;
  const namesake = `${GITHUB}/${claim.full_name}`.toLowerCase();
  return held.verified === 0 || claim.repository.toLowerCase() === namesake;
}
