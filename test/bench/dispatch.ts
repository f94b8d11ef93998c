/** A resolved version, until its assignment is at an idle agent: the edge's own share of a build's beginning. */
import { type GoTarget, goTargetKey } from "../../shared/recipes/go.ts";
import { lines } from "../support/sse.ts";
import { type BenchEdge, workerdEdge, wranglerEdge } from "./edge.ts";
import { FakeAgent } from "./fake-agent.ts";
import { fact, type Measure, median, percentile, promise, type Row } from "./measure.ts";

const WARM_UP = 20;

export const dispatch: Measure = {
  name: "dispatch",
  how: 'The bench Worker says "go", then hands a resolved target to its Target object; the clock runs in the client from "go" to the assign frame at an idle agent. The baseline runs from "go" to the answer of a chain of three objects that only call each other, in turns with it.',
  async run({ quick }) {
    const rows: Row[] = [];
    for (const [name, open] of [
      ["workerd", workerdEdge],
      ["wrangler dev", wranglerEdge],
    ] as const) {
      const edge = await open();
      try {
        const { dispatched, chained } = await compare(edge, quick ? 50 : 300);
        const p50 = median(dispatched);
        rows.push(
          name === "workerd"
            ? promise(`assigned, p50 (${name})`, { below: 10 }, p50, " ms")
            : fact(`assigned, p50 (${name})`, p50, " ms"),
          fact(`assigned, p99 (${name})`, percentile(dispatched, 0.99), " ms"),
          fact(`three bare calls, p50 (${name})`, median(chained), " ms"),
          promise(
            `assigned ÷ three bare calls (${name})`,
            { below: 1.5 },
            p50 / median(chained),
            "",
          ),
        );
      } finally {
        await edge.close();
      }
    }
    return rows;
  },
};

async function compare(
  edge: BenchEdge,
  count: number,
): Promise<{ dispatched: number[]; chained: number[] }> {
  const agent = await FakeAgent.connect(edge.url, edge.token, 1_000);
  const dispatched: number[] = [];
  const chained: number[] = [];
  try {
    for (let i = 0; i < WARM_UP + count; i++) {
      const { ms } = await dispatchOne(edge, agent, i);
      const chain = await chainOne(edge, i);
      if (i < WARM_UP) continue;
      dispatched.push(ms);
      chained.push(chain);
    }
  } finally {
    agent.close();
  }
  return { dispatched, chained };
}

async function dispatchOne(edge: BenchEdge, agent: FakeAgent, i: number): Promise<{ ms: number }> {
  const target: GoTarget = {
    recipe: "go",
    remote: "git.example",
    path: ["bench", "dispatch"],
    goos: "linux",
    goarch: "amd64",
    version: `v1.0.${i}`,
    make: null,
    commit: i.toString(16).padStart(40, "0"),
    visibility: "public",
    advertised: true,
  };
  const assigned = agent
    .assigned((frame) => frame.target.commit === target.commit)
    .then((frame) => ({ frame, at: performance.now() }));
  const { begin } = await announced(edge, "/bench/dispatch", {
    key: goTargetKey(target),
    target,
    pool: "default",
    caller: "admin",
    credential: null,
  });
  const { frame, at } = await assigned;
  const attempt = await agent.accept(frame);
  await attempt.end();
  return { ms: at - begin };
}

async function chainOne(edge: BenchEdge, i: number): Promise<number> {
  // A fresh object each time, as the Target and the Build of a dispatch are; the other two are warm.
  const { begin, end } = await announced(edge, `/bench/chain?name=fresh-${i}`, {});
  return end - begin;
}

/** When the bench Worker said "go", and when it was done. */
async function announced(
  edge: BenchEdge,
  path: string,
  body: object,
): Promise<{ begin: number; end: number }> {
  const response = await fetch(edge.url + path, { method: "POST", body: JSON.stringify(body) });
  const answers = lines(response);
  const first = await answers.next();
  const begin = performance.now();
  if (first.value !== "go") throw new Error(`${path}: ${first.value}`);
  await answers.next();
  const end = performance.now();
  await answers.return(undefined);
  return { begin, end };
}
