/** The cached download against a Worker that does nothing but stream the same object of R2. */
import { randomBytes } from "node:crypto";
import { serveGit } from "./bench-git.ts";
import { type BenchEdge, wranglerEdge } from "./edge.ts";
import { FakeAgent } from "./fake-agent.ts";
import { fact, type Measure, median, promise, type Row, timed } from "./measure.ts";

const MIB = 1024 * 1024;

export const download: Measure = {
  name: "download",
  how: "A published archive is downloaded, in turns from its URL and from a route of the same Worker that streams the same R2 object. One client, then eight at once.",
  async run({ quick }) {
    const git = await serveGit();
    const edge = await wranglerEdge({ remote: git.url });
    try {
      const rows: Row[] = [];
      for (const [version, size] of [
        ["v1.0.0", 1 * MIB],
        ["v1.1.0", 64 * MIB],
      ] as const) {
        const ours = await publish(edge, version, size);
        const bare = `${edge.url}/bench/r2?key=${encodeURIComponent(await keyOf(edge, size))}`;
        for (const clients of [1, 8]) {
          const rounds = Math.max(4, Math.round((quick ? 8 : 40) / (size > MIB ? 4 : 1)));
          const rates = await race([ours, bare], clients, rounds, size);
          const [rate, baseline] = rates.map(median) as [number, number];
          const what = `${size / MIB} MiB, ${clients} client${clients > 1 ? "s" : ""}`;
          rows.push(
            fact(`download (${what})`, rate, " MB/s"),
            promise(`download ÷ bare Worker (${what})`, { atLeast: 0.9 }, rate / baseline, ""),
          );
        }
      }
      return rows;
    } finally {
      await edge.close();
      await git.close();
    }
  },
};

/** Publishes random bytes as an archive; its URL. */
async function publish(edge: BenchEdge, version: string, size: number): Promise<string> {
  const agent = await FakeAgent.connect(edge.url, edge.token, 1);
  try {
    const assigned = agent.assigned();
    const path = `${edge.url}/git.example/bench/program/linux/amd64/${version}`;
    await fetch(path, { method: "POST" });
    const attempt = await agent.accept(await assigned);
    await attempt.upload("program_linux_amd64.tar.gz", randomBytes(size));
    await attempt.end();
    return `${path}/program_linux_amd64.tar.gz`;
  } finally {
    agent.close();
  }
}

async function keyOf(edge: BenchEdge, size: number): Promise<string> {
  const response = await fetch(`${edge.url}/bench/keys`);
  const objects = (await response.json()) as { key: string; size: number }[];
  const found = objects.find((object) => object.size === size);
  if (found === undefined) throw new Error(`no object of ${size} bytes was published`);
  return found.key;
}

/** MB/s of each URL, round after round. */
async function race(
  urls: string[],
  clients: number,
  rounds: number,
  size: number,
): Promise<number[][]> {
  const rates: number[][] = urls.map(() => []);
  for (let round = 0; round < rounds + 1; round++)
    for (const [i, url] of urls.entries()) {
      const { ms } = await timed(() =>
        Promise.all(Array.from({ length: clients }, () => drain(url, size))),
      );
      if (round > 0) rates[i]?.push((clients * size) / 1e6 / (ms / 1_000));
    }
  return rates;
}

async function drain(url: string, size: number): Promise<void> {
  const response = await fetch(url);
  let bytes = 0;
  if (response.body) for await (const chunk of response.body) bytes += chunk.length;
  if (bytes !== size) throw new Error(`${url}: ${response.status}, ${bytes} bytes`);
}
