/** `/p/{namespace}/{name}` and `/p/{remote}/{owner}/{repo}`: what was built of one package or program. */
import type { Context } from "hono";
import type { BuildRecord } from "../../shared/builds.ts";
import { Problem } from "../../shared/problem.ts";
import { erlangRepository } from "../../shared/recipes/erlang.ts";
import { placeOf } from "../../shared/recipes/index.ts";
import { newestFirst } from "../../shared/versions.ts";
import type { AppEnv } from "../app.ts";
import { CATALOG_NAME } from "../core/contracts.ts";
import { retrying } from "../retry.ts";
import { page } from "../web/layout.tsx";
import { PackagePage, type PackageProps, type VersionRow } from "../web/package.tsx";
import { withOrigin } from "./builds.ts";

/** Builds that a page is made of: the newest. */
const MOST_BUILDS = 100;
/** Segments of an Erlang package's path; a repository has more. */
const PACKAGE_SEGMENTS = 2;

export async function packagePage(c: Context<AppEnv>): Promise<Response> {
  const { origin, pathname } = new URL(c.req.url);
  const path = segmentsOf(pathname);
  if (path === null || path.length < PACKAGE_SEGMENTS) throw nothingThere();
  const isPackage = path.length === PACKAGE_SEGMENTS;
  const found = isPackage ? await packages(c.env, path) : await programs(c.env, path);
  const newest = found[0];
  if (newest === undefined) throw nothingThere();
  const name = path.join("/");
  const records = found.map((record) => withOrigin(origin, record));
  const props: PackageProps = {
    name,
    recipe: isPackage ? "erlang" : "go",
    repository: sourceOf(newest) ?? name,
    ...tableOf(records),
    more: found.length === MOST_BUILDS,
    origin,
  };
  return page(c, { title: name }, <PackagePage {...props} />);
}

function packages(env: Env, [namespace, name]: string[]): Promise<BuildRecord[]> {
  return retrying(() =>
    env.CATALOG.getByName(CATALOG_NAME).packages({
      namespace: namespace as string,
      name: name as string,
      versions: [],
      newest: true,
      strangers: false,
      limit: MOST_BUILDS,
    }),
  );
}

async function programs(env: Env, path: string[]): Promise<BuildRecord[]> {
  const query = { recipe: "go", repository: path.join("/"), limit: MOST_BUILDS };
  const found = await retrying(() => env.CATALOG.getByName(CATALOG_NAME).list(query));
  return found?.builds ?? [];
}

function sourceOf({ target }: BuildRecord): string | null {
  return target.recipe === "erlang" ? erlangRepository(target) : placeOf(target, null).repository;
}

/** Versions by variants; in each place the newest build that succeeded, else the newest. */
function tableOf(records: readonly BuildRecord[]): Pick<PackageProps, "rows" | "variants"> {
  const versions = new Map<string, Map<string, BuildRecord>>();
  const variants = new Set<string>();
  for (const record of records) {
    const { version, variant } = placeIn(record);
    variants.add(variant);
    const builds = versions.get(version) ?? new Map<string, BuildRecord>();
    const known = builds.get(variant);
    if (known === undefined || (known.state !== "succeeded" && record.state === "succeeded"))
      builds.set(variant, record);
    versions.set(version, builds);
  }
  const rows: VersionRow[] = newestFirst([...versions.keys()]).map((version) => ({
    version,
    builds: versions.get(version) ?? new Map(),
  }));
  const isErlang = records[0]?.target.recipe === "erlang";
  const columns = [...variants].toSorted(collator.compare);
  return {
    rows,
    variants: columns.map((variant) => ({
      variant,
      word: isErlang && variant !== UNKNOWN ? `Erlang ${variant}` : variant,
    })),
  };
}

const UNKNOWN = "unknown";
const collator = new Intl.Collator("en", { numeric: true });

function placeIn(record: BuildRecord): { version: string; variant: string } {
  const { target } = record;
  const place =
    target.recipe === "erlang"
      ? { version: record.package?.version, variant: record.package?.erl_version }
      : placeOf(target, null);
  return { version: place.version ?? UNKNOWN, variant: place.variant ?? UNKNOWN };
}

function segmentsOf(pathname: string): string[] | null {
  try {
    return pathname.slice("/p/".length).split("/").map(decodeURIComponent);
  } catch {
    return null;
  }
}

function nothingThere(): Problem {
  return new Problem(
    "not_built",
    "Nothing of this name was built here yet. You can add a build of it.",
  );
}
