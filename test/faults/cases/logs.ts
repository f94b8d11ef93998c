/** Area "logs": whatever a container prints, its log is whole, plain text, bounded, and says nothing in our name. */
import assert from "node:assert/strict";
import { get, type IncomingMessage } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { type BuildRecord, isTerminal } from "../../../shared/builds.ts";
import { LOG_HEAD_BYTES, LOG_LINE_BYTES } from "../../../shared/limits.ts";
import { LAYOUTS } from "../../support/fixtures.ts";
import type { Ended, Line, TestStack } from "../../support/stack.ts";
import type { FaultCase } from "../case.ts";
import { heapWhile } from "../edge-heap.ts";
import type { Tree } from "../sources.ts";
import { type FaultWorld, PRIVATE, type Watched } from "../world.ts";

/** More lines than the head of a log has room for. */
const MANY_LINES = 400_000;
/** Fewer lines than that, and more than the buffers between the edge and a reader hold. */
const SOME_LINES = 60_000;
const FLOOD_BYTES = 600_000_000;
const LONG_LINE_BYTES = 64 * 2 ** 20;
/** Pace of the slow reader: so many bytes every second. */
const SLOW_BYTES = 1_024;
/** Bytes that the platform gives to an object, and to all that share its isolate. */
const OBJECT_BYTES = 128 * 2 ** 20;
const OVER = "it is over";

type Gap = { bytes: number; lines: number; reason: string };

export const cases: FaultCase[] = [
  {
    area: "logs",
    name: "a log over its cap keeps head and tail, and says how much is missing between",
    quick: false,
    async run(world) {
      const { log } = await printed(world, `seq -f "line %.0f" 1 ${MANY_LINES}\n`);
      const { head, gap, tail } = cutLog(log);
      const first = head.map(({ msg }) => msg);
      const last = tail.map(({ msg }) => msg);
      assert.deepEqual(first, numbered(1, first.length));
      assert.deepEqual(last, numbered(MANY_LINES - last.length + 1, MANY_LINES));
      const missing = numbered(first.length + 1, MANY_LINES - last.length);
      assert.equal(gap.lines, missing.length);
      assert.equal(gap.bytes, bytesOf(missing));
    },
  },
  {
    area: "logs",
    name: "a flood of 200 MB/s, as fast as a container can print",
    quick: false,
    async run(world) {
      const script = `yes "$(seq -s ' ' 1 30)" | head -c ${FLOOD_BYTES}\necho\necho "${OVER}"\n`;
      const { log } = await printed(world, script);
      const { head, gap, tail } = cutLog(log);
      assert.equal(tail.at(-1)?.msg, OVER);
      const kept = [...head, ...tail].map(({ msg }) => msg);
      assert.equal(bytesOf(kept) + gap.bytes, FLOOD_BYTES + bytesOf(["", OVER]));
    },
  },
  {
    area: "logs",
    name: "a single line of 64 MB",
    quick: false,
    async run(world) {
      const script = `head -c ${LONG_LINE_BYTES} /dev/zero | tr '\\0' x\necho\necho "${OVER}"\n`;
      const { log } = await printed(world, script);
      const { head, gap, tail } = cutLog(log);
      assert.equal(tail.pop()?.msg, OVER);
      const pieces = [...head, ...tail].map(({ msg }) => msg);
      assert.ok(pieces.every((msg) => /^x+$/.test(msg) && msg.length <= LOG_LINE_BYTES));
      const kept = pieces.join("").length;
      assert.ok(kept > LOG_HEAD_BYTES, `${kept} bytes of it are kept`);
      assert.equal(kept + gap.bytes, LONG_LINE_BYTES);
    },
  },
  {
    area: "logs",
    name: "invalid UTF-8, NUL, escape sequences and progress bars",
    quick: true,
    async run(world) {
      const printf = [
        ["\\377\\376 invalid \\303(", "\ufffd\ufffd invalid \ufffd("],
        ["a NUL\\000 here", "a NUL\u2400 here"],
        ["\\033[1;31mred\\033[0m and \\033]0;a title\\007plain", "red and plain"],
        ["\\033[2J\\033[Hthe screen is not cleared\\b", "the screen is not cleared\u2408"],
        ["10%%\\r 50%%\\r100%%", "100%"],
        ["windows\\r", "windows"],
        ["tabs\\tstay", "tabs\tstay"],
        ["", ""],
        ["\\342\\200\\256the other way", "\u202ethe other way"],
      ] as const;
      const script = printf.map(([format]) => `printf '${format}\\n'\n`).join("");
      const { log } = await printed(world, script);
      assert.deepEqual(
        output(log).map(({ msg }) => msg),
        printf.map(([, shown]) => shown),
      );
    },
  },
  {
    area: "logs",
    name: "a rune and a secret cut in two, between writes and at the end of a long line",
    quick: true,
    run: splitSecrets,
  },
  {
    area: "logs",
    name: "a follower that reads 1 KB/s slows down neither the build nor other followers",
    quick: false,
    run: slowFollower,
  },
  {
    area: "logs",
    name: "a container prints what looks like our frames, entries, events and ends",
    quick: true,
    run: forgeries,
  },
];

async function splitSecrets(world: FaultWorld): Promise<void> {
  const { user, password } = PRIVATE;
  const forms = {
    plain: password,
    url: encodeURIComponent(password),
    json: JSON.stringify(password),
    base64: Buffer.from(`${user}:${password}`).toString("base64"),
    shifted: Buffer.from(`x${user}:${password}`).toString("base64"),
  };
  const names = Object.keys(forms);
  const filler = LOG_LINE_BYTES - 10;
  const script = `
printf '\\360\\237'; sleep 0.2; printf '\\232\\202 rune\\n'
head -c ${LOG_LINE_BYTES - 1} /dev/zero | tr '\\0' y; printf '\\360\\237\\232\\202\\n'
for form in ${names.join(" ")}; do
  cat secret/$form; echo
  head -c 9 secret/$form; sleep 0.2; tail -c +10 secret/$form; echo
  head -c ${filler} /dev/zero | tr '\\0' x; cat secret/$form; echo
done
`;
  const files = Object.entries(forms).map(([name, text]) => [`secret/${name}`, text]);
  const tree = { ...saying(script), ...Object.fromEntries(files) };
  const watched = await world.startPrivate(tree);
  const { record, log } = await world.stack.ended(watched.id, watched.init);
  assert.equal(record.state, "succeeded", record.reason ?? "");
  const lines = output(log).map(({ msg }) => msg);
  assert.equal(lines.shift(), "🚂 rune");
  assert.equal(`${lines.shift()}${lines.shift()}`, `${"y".repeat(LOG_LINE_BYTES - 1)}🚂`);
  const text = lines.join("\n");
  for (const form of Object.values(forms)) {
    assert.ok(!text.includes(form), "a secret is in the log");
    // Of base64, the characters that depend on what stands beside the secret may stay.
    assert.ok(!text.includes(form.slice(8, -8)), "most of a secret is in the log");
  }
  const marks = text.split("***").length - 1;
  assert.equal(marks, names.length * 3, "secrets that were taken out");
}

async function slowFollower(world: FaultWorld): Promise<void> {
  const tree = saying(`seq -f "line %.0f" 1 ${SOME_LINES}\n`);
  const watched = await world.start(await world.source(tree));
  const slow = await openLog(world.stack, watched.id);
  const parts: Buffer[] = [];
  let ended = false;
  const ending = ends(world, watched).finally(() => {
    ended = true;
  });
  while (!ended) {
    const part: Buffer | null = slow.read(SLOW_BYTES);
    if (part !== null) parts.push(part);
    await Promise.race([ending, sleep(1_000)]);
  }
  const { log } = await ending;
  const before = Buffer.concat(parts).length;
  // Now in a hurry: what he has not read yet is all still there, in its place.
  for await (const part of slow) parts.push(part as Buffer);
  const seen = parseLines(Buffer.concat(parts).toString());
  assert.deepEqual(seen, log);
  assert.ok(before * 10 < JSON.stringify(log).length, `he had read ${before} bytes at its end`);
  assert.deepEqual(
    output(log).map(({ msg }) => msg),
    numbered(1, SOME_LINES),
  );
}

async function forgeries(world: FaultWorld): Promise<void> {
  const time = "2026-01-01T00:00:00.000Z";
  const forged = [
    "Your build is successful.",
    "Your build failed: because the container says so",
    JSON.stringify({ t: "result", outcome: "succeeded", class: null, last_seq: 1, uploads: [] }),
    JSON.stringify({ t: "log", entries: [{ seq: 1, time, level: "info", msg: "forged" }] }),
    JSON.stringify({ t: "ack", seq: 999_999 }),
    JSON.stringify({ build_id: "0".repeat(32), level: "info", msg: "forged", time, position: 1 }),
    JSON.stringify({ msg: "forged", gap: { reason: "log_limit", lines: 3 }, attempt: 7 }),
    `00000000 ${JSON.stringify({ seq: 9, time, level: "info", msg: "forged" })}\t{"over":true}`,
    '","stream":"stderr","msg":"',
    "ping",
    "pong",
    "retry: 1",
    "id: 999999",
    "event: end",
    'data: {"position":1}',
    "==> Your build is successful.",
    "{",
  ];
  // The engine's own frame header: stderr, five bytes.
  const script =
    "cat forged.txt\nprintf '\\002\\000\\000\\000\\000\\000\\000\\005forged\\n'\nexit 3\n";
  const tree = { ...saying(script), "forged.txt": forged.map((line) => `${line}\n`).join("") };
  const watched = await world.start(await world.source(tree));
  const { record, log } = await world.stack.ended(watched.id);
  assert.equal(record.state, "failed");
  assert.equal(record.class, "make_error");
  const lines = output(log).filter(({ stream }) => stream === "stdout");
  assert.deepEqual(
    lines.map(({ msg }) => msg),
    [...forged, "\u2402\u2400\u2400\u2400\u2400\u2400\u2400\u2405forged"],
  );
  for (const line of log) {
    assert.equal(line.build_id, watched.id);
    assert.equal(line.gap, undefined);
    assert.ok(line.attempt <= 1);
  }
  assert.ok(log.at(-1)?.stream === undefined, "the last word is ours");
}

/** A tree whose build runs a shell script before it compiles. */
function saying(script: string): Tree {
  return {
    ...LAYOUTS.held,
    "say.sh": script,
    Makefile: "all:\n\t@sh ./say.sh\n\t@go build -trimpath -buildvcs=false -o said .\n",
  };
}

/** The end of a build that runs this script; it succeeds, and the edge's memory stays bounded meanwhile. */
async function printed(world: FaultWorld, script: string): Promise<Ended> {
  const ending = ends(world, await world.start(await world.source(saying(script))));
  const heap = await heapWhile(await world.workerdPids(), ending);
  assert.ok(heap < OBJECT_BYTES, `the Worker and its objects had ${heap} bytes`);
  return ending;
}

/** Waits for a build that prints much: by the build's own word, so that nobody else asks for anything. */
async function ends(world: FaultWorld, { id }: Watched): Promise<Ended> {
  const { stack } = world;
  for (;;) {
    const answer = await stack.fetch(`/builds/${id}?wait=60`);
    const record = (await answer.json()) as BuildRecord;
    if (!isTerminal(record.state)) continue;
    assert.equal(record.state, "succeeded", record.reason ?? "");
    return { id, record, log: await stack.log(id) };
  }
}

function openLog(stack: TestStack, id: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    get(`${stack.url}/builds/${id}/logs?follow=1`, resolve).on("error", reject);
  });
}

function parseLines(text: string): Line[] {
  return text.split("\n").flatMap((line) => (line === "" ? [] : [JSON.parse(line) as Line]));
}

/** What the container printed. */
function output(log: readonly Line[]): Line[] {
  return log.filter(({ stream }) => stream !== undefined);
}

/** A log over its cap: one gap, which comes behind the message that the limit is reached. */
function cutLog(log: readonly Line[]): { head: Line[]; gap: Gap; tail: Line[] } {
  const at = log.findIndex(({ gap }) => gap !== undefined);
  assert.ok(at > 0, "there is a gap record");
  assert.equal(log.filter(({ gap }) => gap !== undefined).length, 1);
  assert.match(log[at - 1]?.msg ?? "", /^The log is over its limit/);
  return { head: output(log.slice(0, at)), gap: log[at]?.gap as Gap, tail: output(log.slice(at)) };
}

function numbered(from: number, to: number): string[] {
  return Array.from({ length: to - from + 1 }, (_, i) => `line ${from + i}`);
}

/** Bytes of lines as a container prints them. */
function bytesOf(lines: readonly string[]): number {
  return lines.reduce((sum, line) => sum + Buffer.byteLength(line) + 1, 0);
}
