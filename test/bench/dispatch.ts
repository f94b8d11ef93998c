/** A resolved version, until its assignment is at an idle agent: the edge's own share of a build's beginning. */
import { once } from "node:events";
import { WebSocket } from "ws";
import { type GoTarget, goTargetKey } from "../../shared/recipes/go.ts";
import { targetCommit } from "../../shared/recipes/index.ts";
import { type BenchEdge, workerdEdge, wranglerEdge } from "./edge.ts";
import { FakeAgent } from "./fake-agent.ts";
import { fact, type Measure, median, percentile, promise, type Row } from "./measure.ts";

const WARM_UP = 20;

export const dispatch: Measure = {
  name: "dispatch",
  how: 'The bench Worker says "go", then hands a resolved target to its Target object; the clock runs in the client from "go" to the assign frame at an idle agent. The baseline runs from "go" to the answer of a chain of three objects, two of them new, that only call each other and store nothing, in turns with it.',
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
  const socket = new WebSocket(`${edge.url.replace("http", "ws")}/bench/socket`, {
    perMessageDeflate: false,
  });
  await once(socket, "open");
  const dispatched: number[] = [];
  const chained: number[] = [];
  try {
    for (let i = 0; i < WARM_UP + count; i++) {
      const ms = await dispatchOne(socket, agent, i);
      // Two fresh objects and one that is warm, as the Target, the Build and the Pool of a dispatch are.
      const chain = [`target-${i}`, `build-${i}`, "pool"];
      const { begin, end } = await ask(socket, { chain });
      if (i < WARM_UP) continue;
      dispatched.push(ms);
      chained.push(end - begin);
    }
  } finally {
    socket.terminate();
    agent.close();
  }
  return { dispatched, chained };
}

async function dispatchOne(socket: WebSocket, agent: FakeAgent, i: number): Promise<number> {
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
    .assigned((frame) => targetCommit(frame.target) === target.commit)
    .then((frame) => ({ frame, at: performance.now() }));
  const { begin } = await ask(socket, {
    build: {
      key: goTargetKey(target),
      target,
      pool: "default",
      caller: "admin",
      credential: null,
    },
  });
  const { frame, at } = await assigned;
  const attempt = await agent.accept(frame);
  await attempt.end();
  return at - begin;
}

/** When the bench Worker said "go", and when it was done. */
async function ask(socket: WebSocket, what: object): Promise<{ begin: number; end: number }> {
  const times: number[] = [];
  const done = new Promise<void>((resolve) => {
    const listen = (data: unknown) => {
      times.push(performance.now());
      if (String(data) !== "done") return;
      socket.off("message", listen);
      resolve();
    };
    socket.on("message", listen);
  });
  socket.send(JSON.stringify(what));
  await done;
  return { begin: times[0] as number, end: times[1] as number };
}
