/** Finding packages among ten thousand of them. */
import type { BuildRecord } from "../../shared/builds.ts";
import type { Claim } from "../../worker/core/contracts.ts";
import { packageRecord } from "../support/catalog.ts";
import { type BenchEdge, workerdEdge } from "./edge.ts";
import { fact, type Measure, percentile, type Row, timed } from "./measure.ts";

const PACKAGES = 10_000;
/** Packages of one namespace: so many have one name in common. */
const NAMESPACES = 200;
/** Builds that are handed to the Catalog at a time. */
const BATCH = 1_000;
const WARM_UP = 20;

export const search: Measure = {
  name: "search",
  how: `The Catalog knows ${PACKAGES} packages, each built, built again and failed for another Erlang version. One client on bare workerd asks, in turns, for each of the searches below, another name each time, and for the baseline: a route that asks an object for a constant.`,
  async run({ quick }) {
    const edge = await workerdEdge();
    try {
      await fill(edge);
      return await ask(edge, quick ? 50 : 500);
    } finally {
      await edge.close();
    }
  },
};

async function fill(edge: BenchEdge): Promise<void> {
  let claims: Claim[] = [];
  let records: BuildRecord[] = [];
  for (let i = 0; i < PACKAGES; i++) {
    const name = nameOf(i);
    const repository = `github.com/${name}`;
    claims.push({ full_name: name, repository, url: `https://${repository}`, verified: false });
    const built = { repository, name, version: "1.0.0" };
    records.push(
      packageRecord(3 * i, { ...built, erl: "27" }),
      packageRecord(3 * i + 1, { ...built, erl: "27" }),
      packageRecord(3 * i + 2, { ...built, erl: "25" }, { state: "failed" }),
    );
    if (records.length < BATCH && i < PACKAGES - 1) continue;
    const body = JSON.stringify({ claims, records });
    const response = await fetch(`${edge.url}/bench/catalog`, { method: "POST", body });
    if (!response.ok) throw new Error(await response.text());
    claims = [];
    records = [];
  }
}

async function ask(edge: BenchEdge, count: number): Promise<Row[]> {
  const questions: Record<string, (i: number) => [path: string, found: number]> = {
    "/search, a name of one package": (i) => [`/search?name=${libraryOf(i)}`, 2],
    "/search, a name of 50 packages": () => ["/search?name=shared", 100],
    "/last_builds, 20": () => ["/last_builds?n=20", 20],
    "/api/builds, a word": (i) => [`/api/builds?q=${libraryOf(i)}&limit=20`, 3],
    "/api/builds, a word of all": () => ["/api/builds?q=github&limit=20", 20],
    "bare object": () => ["/bench/hello", 1],
  };
  const samples = new Map(Object.keys(questions).map((figure) => [figure, [] as number[]]));
  for (let i = 0; i < WARM_UP + count; i++)
    for (const [figure, question] of Object.entries(questions)) {
      const [path, found] = question((i * 7_919) % PACKAGES);
      const { ms, value } = await timed(async () => (await fetch(edge.url + path)).text());
      if (path !== "/bench/hello" && value.split('"build_id"').length - 1 !== found)
        throw new Error(`${path} answered ${value.slice(0, 500)}`);
      if (i >= WARM_UP) samples.get(figure)?.push(ms);
    }
  const rows: Row[] = [];
  for (const [figure, times] of samples)
    rows.push(
      fact(`${figure}, p50`, percentile(times, 0.5), " ms"),
      fact(`${figure}, p95`, percentile(times, 0.95), " ms"),
    );
  return rows;
}

/** Every two hundredth package shares its name with 49 others. */
function libraryOf(i: number): string {
  const number = i % NAMESPACES === 0 ? i + 1 : i;
  return `lib${String(number).padStart(5, "0")}`;
}

function nameOf(i: number): string {
  const namespace = `org${Math.floor(i / NAMESPACES)}`;
  return `${namespace}/${i % NAMESPACES === 0 ? "shared" : libraryOf(i)}`;
}
