/** How fast a log gets from an agent into its Build, and what that does to others who ask the Build. */
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket } from "ws";
import { LOG_WINDOW_FRAMES } from "../../shared/limits.ts";
import { serveGit } from "./bench-git.ts";
import { type BenchEdge, wranglerEdge } from "./edge.ts";
import { FakeAgent } from "./fake-agent.ts";
import { fact, type Measure, median, type Row, timed } from "./measure.ts";

/** Bytes of a line, and lines of a frame: some 60 KiB of JSON. */
const LINE = "x".repeat(100);
const LINES_PER_FRAME = 330;
const ASK_EVERY_MS = 25;

export const throughput: Measure = {
  name: "throughput",
  how: `Frames of ${LINES_PER_FRAME} lines of ${LINE.length} bytes are sent with ${LOG_WINDOW_FRAMES} unacknowledged; each is stored before it is acknowledged. The baseline is an object that stores the same frames unread. Meanwhile somebody else asks the object for its state.`,
  async run({ quick }) {
    const frames = quick ? 150 : 1_000;
    const git = await serveGit();
    const edge = await wranglerEdge({ remote: git.url });
    try {
      const ours = await railhead(edge, frames);
      const bare = await baseline(edge, frames);
      const megabytes = (frames * LINES_PER_FRAME * LINE.length) / 1e6;
      const rows: Row[] = [
        fact("log agent → Build", megabytes / (ours.ms / 1_000), " MB/s of lines"),
        fact("bare object", megabytes / (bare.ms / 1_000), " MB/s of lines"),
        fact("log ÷ bare object", bare.ms / ours.ms, ""),
        fact("GET /builds/{id} meanwhile, p50", median(ours.asked), " ms"),
        fact("GET /builds/{id} meanwhile, worst", Math.max(...ours.asked), " ms"),
        fact("bare object asked meanwhile, p50", median(bare.asked), " ms"),
      ];
      return rows;
    } finally {
      await edge.close();
      await git.close();
    }
  },
};

type Result = { ms: number; asked: number[] };

async function railhead(edge: BenchEdge, frames: number): Promise<Result> {
  const agent = await FakeAgent.connect(edge.url, edge.token, 1);
  try {
    const assigned = agent.assigned();
    const path = "/git.example/bench/program/linux/amd64/v1.0.0";
    await fetch(edge.url + path, { method: "POST" });
    const assign = await assigned;
    const attempt = await agent.accept(assign);
    const batch = Array.from({ length: LINES_PER_FRAME }, () => LINE);
    const result = await whileAsked(`${edge.url}/builds/${assign.build}`, () =>
      windowed(frames, () => attempt.log(batch)),
    );
    await attempt.end();
    return result;
  } finally {
    agent.close();
  }
}

async function baseline(edge: BenchEdge, frames: number): Promise<Result> {
  const socket = new WebSocket(`${edge.url.replace("http", "ws")}/bench/frames`, {
    perMessageDeflate: false,
  });
  await once(socket, "open");
  const frame = JSON.stringify({
    t: "log",
    entries: Array.from({ length: LINES_PER_FRAME }, (_, seq) => ({
      seq,
      time: new Date().toISOString(),
      level: "info",
      msg: LINE,
      stream: "stdout",
    })),
  });
  const stored: (() => void)[] = [];
  socket.on("message", () => stored.shift()?.());
  const result = await whileAsked(`${edge.url}/bench/hello`, () =>
    windowed(
      frames,
      () =>
        new Promise<void>((resolve) => {
          stored.push(resolve);
          socket.send(frame);
        }),
    ),
  );
  socket.terminate();
  return result;
}

/** Calls `send` again and again, with as many under way as the protocol's window allows. */
async function windowed(count: number, send: () => Promise<void>): Promise<void> {
  let left = count;
  const lane = async () => {
    while (left-- > 0) await send();
  };
  await Promise.all(Array.from({ length: LOG_WINDOW_FRAMES }, lane));
}

/** Runs `body`, and meanwhile asks `url` over and over. */
async function whileAsked(url: string, body: () => Promise<void>): Promise<Result> {
  const asked: number[] = [];
  let over = false;
  const asking = (async () => {
    while (!over) {
      const { ms } = await timed(async () => (await fetch(url)).text());
      asked.push(ms);
      await sleep(ASK_EVERY_MS);
    }
  })();
  const { ms } = await timed(body);
  over = true;
  await asking;
  return { ms, asked };
}
