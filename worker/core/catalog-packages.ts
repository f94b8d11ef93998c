/** Packages by name: which repository a name belongs to, and what was built of it (spec erlang.md). */
import type { BuildRecord } from "../../shared/builds.ts";
import { newestFirst, type Position } from "./catalog-builds.ts";
import type { Claim, PackageQuery } from "./contracts.ts";
import type { Clock, Sql, SqlValue } from "./ports.ts";

/** Milliseconds for which a name is kept whose first build is not known yet: it is asked for, and told, after the claim. */
const CLAIM_MS = 5 * 60_000;
/** The host whose webhooks prove that a repository is what it is called. */
const GITHUB = "github.com";

type NameRow = { repository: string; url: string; verified: number; claimed_at: number };
type Row = Position & { record: string };

export class PackageIndex {
  readonly #sql: Sql;
  readonly #clock: Clock;

  constructor(sql: Sql, clock: Clock) {
    this.#sql = sql;
    this.#clock = clock;
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

  /** Gives a name to a repository, unless another one has it that this claim does not outrank and that made use of it. */
  claim(claim: Claim): { kind: "ok" } | { kind: "taken"; by: string } {
    const { full_name, repository, url, verified } = claim;
    const now = this.#clock.now();
    return this.#sql.transaction(() => {
      const held = this.#sql.exec<NameRow>(
        "SELECT repository, url, verified, claimed_at FROM names WHERE full_name = ?",
        full_name,
      )[0];
      if (held?.repository === repository) {
        this.#sql.exec(
          "UPDATE names SET verified = max(verified, ?), claimed_at = ? WHERE full_name = ?",
          Number(verified),
          now,
          full_name,
        );
        return { kind: "ok" };
      }
      if (held !== undefined && !outranks(claim, held) && this.#isUsed(full_name, held, now))
        return { kind: "taken", by: held.url };
      this.#sql.exec(
        "INSERT OR REPLACE INTO names (full_name, repository, url, verified, claimed_at) VALUES (?, ?, ?, ?, ?)",
        full_name,
        repository,
        url,
        Number(verified),
        now,
      );
      return { kind: "ok" };
    });
  }

  /** Whether somebody showed whose the name is, or a build of it succeeded or may still: a mistyped URL has none. */
  #isUsed(full_name: string, { repository, verified, claimed_at }: NameRow, now: number): boolean {
    if (verified !== 0) return true;
    const [namespace = "", name = ""] = full_name.split("/");
    const hasBuild = (condition: string, ...more: SqlValue[]) =>
      this.#sql.exec(
        `SELECT 1 FROM builds INDEXED BY builds_by_repository
         WHERE visibility = 'public' AND repository = ? AND namespace = ? AND name = ?
           AND recipe = 'erlang' AND ${condition} LIMIT 1`,
        repository,
        namespace,
        name,
        ...more,
      ).length > 0;
    if (hasBuild("state IN ('queued', 'running', 'succeeded')")) return true;
    const since = new Date(claimed_at).toISOString();
    return claimed_at > now - CLAIM_MS && !hasBuild("queued_at >= ?", since);
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
