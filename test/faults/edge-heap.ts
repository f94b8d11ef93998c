/**
 * What the Worker's own code has in memory: all of its objects share one isolate here, of which workerd's inspector
 * tells (Chrome DevTools Protocol, Runtime.getHeapUsage).
 */
import { once } from "node:events";
import { readdir, readFile, readlink } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket } from "ws";

const LISTENING = "0A";
const SAMPLE_MS = 2_000;
/** Milliseconds that the inspector may take to answer. */
const ANSWER_MS = 5_000;
const QUESTION = JSON.stringify({ id: 1, method: "Runtime.getHeapUsage" });

/** Tries to get one sample behind a work that was too short for any. */
const LATE_TRIES = 15;

/** Bytes that the isolate had at most while `work` went on, its garbage too; sampled. Throws when nobody could tell. */
export async function heapWhile(pids: readonly number[], work: Promise<unknown>): Promise<number> {
  const url = await inspectorOf(pids);
  let done = false;
  const end = () => {
    done = true;
  };
  const ended = work.then(end, end);
  const samples: number[] = [];
  for (let late = 0; !done || (samples.length === 0 && late < LATE_TRIES); ) {
    if (done) late += 1;
    // One that comes while another leaves is sent away: the next sample will do.
    const sample = await heapAt(url).catch(() => null);
    if (sample !== null) samples.push(sample);
    await (done ? sleep(SAMPLE_MS) : Promise.race([ended, sleep(SAMPLE_MS)]));
  }
  if (samples.length === 0) throw new Error("workerd's inspector never answered");
  return Math.max(...samples);
}

async function heapAt(url: string): Promise<number> {
  const signal = AbortSignal.timeout(ANSWER_MS);
  const socket = new WebSocket(url, { perMessageDeflate: false });
  try {
    await once(socket, "open", { signal });
    const closed = once(socket, "close", { signal }).then(() => {
      throw new Error("the inspector is gone");
    });
    socket.send(QUESTION);
    for (;;) {
      const [data] = await Promise.race([once(socket, "message", { signal }), closed]);
      const { id, result } = JSON.parse(String(data));
      if (id === 1) return result.usedSize + result.backingStorageSize;
    }
  } finally {
    socket.on("error", () => {});
    socket.terminate();
  }
}

/** Where the inspector speaks of the Worker. */
async function inspectorOf(pids: readonly number[]): Promise<string> {
  for (const port of (await Promise.all(pids.map(portsOf))).flat()) {
    const listed = await fetch(`http://127.0.0.1:${port}/json`)
      .then((answer) => answer.text())
      .catch(() => "");
    const url = `ws://127.0.0.1:${port}/core:user:railhead`;
    if (listed.includes(url)) return url;
  }
  throw new Error("workerd has no inspector of the Worker");
}

/** TCP ports that a process listens on (proc(5): /proc/net/tcp). */
async function portsOf(pid: number): Promise<number[]> {
  const folder = `/proc/${pid}/fd`;
  const files = await readdir(folder);
  const links = await Promise.all(files.map((fd) => readlink(`${folder}/${fd}`).catch(() => "")));
  const table = await readFile(`/proc/${pid}/net/tcp`, "utf8");
  return table.split("\n").flatMap((line) => {
    const [, local = "", , state, , , , , , inode] = line.trim().split(/\s+/);
    const own = state === LISTENING && links.includes(`socket:[${inode}]`);
    return own ? [Number.parseInt(local.split(":")[1] ?? "", 16)] : [];
  });
}
