/** Area "races": two who want different things at one moment are told one truth, and the build ends by it. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdir, stat } from "node:fs/promises";
import { get, type IncomingMessage } from "node:http";
import { join } from "node:path";
import { PART_BYTES } from "../../../shared/limits.ts";
import { MESSAGES } from "../../../shared/log.ts";
import type { TestStack } from "../../support/stack.ts";
import { until } from "../../support/until.ts";
import type { FaultCase } from "../case.ts";
import { SOURCES } from "../sources.ts";
import type { FaultWorld, Watched } from "../world.ts";

/** POSTs of one target at once. */
const CROWD = 1_000;
/** Clients that POST again and again while a build is published. */
const INSISTENT = 8;
/** Builds that are cancelled as soon as they are accepted. */
const HASTY = 8;
/** Milliseconds within which what is not published is removed: tickets must have run out. */
const SWEPT_MS = 180_000;

export const cases: FaultCase[] = [
  {
    area: "races",
    name: "a thousand POSTs of one target at once make one build",
    quick: true,
    async run(world) {
      // One that does not end before all have asked, however long that takes.
      const path = await world.source("held");
      const answers = await Promise.all(Array.from({ length: CROWD }, () => post(world, path)));
      const watched = await world.start(path);
      assert.deepEqual(idsOf(answers), [watched.id]);
      await world.sees(watched, "held: line 3");
      await world.stack.release(watched.id);
      await world.succeeds(watched);
    },
  },
  {
    area: "races",
    name: "POSTs while a build is being published join it, or hear that it exists",
    quick: true,
    async run(world) {
      const path = await world.source("prompt");
      const watched = await world.start(path);
      await said(watched, MESSAGES.saving);
      const insist = async () => {
        for (;;) {
          const answer = await post(world, path);
          if (answer.status === 409) return;
          assert.deepEqual(idsOf([answer]), [watched.id]);
        }
      };
      await Promise.all(Array.from({ length: INSISTENT }, insist));
      await world.succeeds(watched);
    },
  },
  {
    area: "races",
    name: "cancelled while it ends: cancelled and not published, or published and not cancelled",
    quick: true,
    async run(world) {
      const moments = [MESSAGES.building, MESSAGES.archiving, MESSAGES.archived, MESSAGES.saving];
      await Promise.all(moments.map((moment) => cancelledAt(world, moment)));
    },
  },
  {
    area: "races",
    name: "cancelled after its result is stored, before its agent is done with it",
    quick: false,
    async run(world) {
      const path = await world.source("prompt");
      let watched: Watched | null = null;
      const agent = await world.haltAt("before done", async () => {
        watched = await world.start(path);
      });
      const { id } = only(watched);
      const answer = await world.stack.cancel(id);
      assert.equal(answer.status, 409);
      assert.equal(((await answer.json()) as { code: string }).code, "already_ended");
      await world.goOn(agent);
      world.healed();
      await world.succeeds(only(watched));
    },
  },
  {
    area: "races",
    name: "cancelled before it is assigned, and at the moment that it is",
    quick: false,
    async run(world) {
      const { stack } = world;
      await onAgents(stack, "cordon");
      const waiting = await world.start(await world.source("prompt"));
      await until("a place in the queue", async () => (await stack.record(waiting.id)).position);
      assert.equal((await stack.cancel(waiting.id)).ok, true);
      assert.equal((await stack.ended(waiting.id)).record.state, "cancelled");
      await onAgents(stack, "uncordon");
      world.healed();
      const paths: string[] = [];
      for (let i = 0; i < HASTY; i++) paths.push(await world.source("held"));
      const hasty = await Promise.all(
        paths.map(async (path) => {
          const watched = await world.start(path);
          assert.equal((await stack.cancel(watched.id)).ok, true);
          return watched;
        }),
      );
      for (const { id } of hasty) assert.equal((await stack.ended(id)).record.state, "cancelled");
      // Who comes after them finds the slots free; and whoever waited was never begun.
      await world.succeeds(await world.start(await world.source("prompt")));
      assert.deepEqual(
        world.starts.all.filter(({ build }) => build === waiting.id),
        [],
      );
    },
  },
  {
    area: "races",
    name: "cancelled in the middle of an upload",
    quick: true,
    run: async (world) => {
      const { id } = await cancelledInUpload(world, await world.source("large"));
      assert.equal((await world.stack.ended(id)).record.state, "cancelled");
    },
  },
  {
    area: "races",
    name: "a tag is moved between its resolution and the clone",
    quick: false,
    async run(world) {
      const { stack } = world;
      const name = "ada/hello";
      const tag = `moved-${stack.commits(name).length}`;
      const tree = (word: string) => ({
        ...SOURCES.prompt,
        Makefile: `all:\n\t@echo "this is ${word}"\n\tgo build -trimpath -buildvcs=false -o moved .\n`,
      });
      await stack.commit(name, [{ files: tree("meant"), tag, annotated: true }]);
      const meant = stack.commits(name).at(-1);
      await onAgents(stack, "cordon");
      const watched = await world.start(`/git.example/${name}/linux/amd64/${tag}`);
      await stack.commit(name, [{ files: tree("another"), tag, annotated: true }]);
      await onAgents(stack, "uncordon");
      world.healed();
      await world.succeeds(watched);
      const { record, log } = await stack.ended(watched.id);
      assert.equal(record.commit, meant);
      assert.ok(log.some(({ msg }) => msg === "this is meant"));
    },
  },
  {
    area: "races",
    name: "what was not published is removed while its successor is downloaded",
    quick: false,
    run: sweptDuringDownload,
  },
  ...["two deploys of one project at once", "a project is deleted while it is deployed"].map(
    (name): FaultCase => ({
      area: "races",
      name,
      quick: false,
      impossible: async () => "Railhead does not run web apps yet.",
      run: () => Promise.reject(new Error("there are no projects")),
    }),
  ),
];

type Posted = { status: number; id: string | null };

async function post(world: FaultWorld, path: string): Promise<Posted> {
  const response = await world.stack.post(path);
  const { build_id = null } = (await response.json()) as { build_id?: string };
  return { status: response.status, id: response.status === 202 ? build_id : null };
}

/** The builds that POSTs were accepted for. What comes after the end hears that it exists. */
function idsOf(answers: readonly Posted[]): string[] {
  for (const { status } of answers) assert.ok(status === 202 || status === 409, `${status}`);
  return [...new Set(answers.flatMap(({ id }) => id ?? []))];
}

/** Settles when our own message stands in the log. */
async function said({ viewer }: Watched, message: string): Promise<void> {
  await until(`"${message}" in the log`, () =>
    viewer.seen.some(({ msg, stream }) => msg === message && stream === undefined),
  );
}

async function cancelledAt(world: FaultWorld, moment: string): Promise<void> {
  const watched = await world.start(await world.source("prompt"));
  await said(watched, moment);
  const { status } = await world.stack.cancel(watched.id);
  const { record } = await world.stack.ended(watched.id);
  if (status === 409) assert.equal(record.state, "succeeded", `cancel was refused at: ${moment}`);
  else assert.equal(record.state, "cancelled", `cancel was answered ${status} at: ${moment}`);
}

/** A build that is cancelled while its agent stands still between two parts of a file. */
async function cancelledInUpload(world: FaultWorld, path: string): Promise<Watched> {
  let watched: Watched | null = null;
  const agent = await world.haltAt("before part 2", async () => {
    watched = await world.start(path);
  });
  const cancelled = only(watched);
  assert.equal((await world.stack.cancel(cancelled.id)).ok, true);
  await world.goOn(agent);
  world.healed();
  return cancelled;
}

async function sweptDuringDownload(world: FaultWorld): Promise<void> {
  const { stack } = world;
  const path = await world.source("large");
  const nothing = await blobs(stack);
  const { id } = await cancelledInUpload(world, path);
  assert.equal((await stack.ended(id)).record.state, "cancelled");
  const left = await added(stack, nothing);
  assert.ok(left.length > 0, "a part of the cancelled upload lies in the bucket");

  const successor = await world.start(path);
  await world.succeeds(successor);
  const artifact = (await stack.record(successor.id)).artifacts[0];
  assert.ok(artifact !== undefined);
  const download = await openDownload(stack, artifact.url);
  const hash = createHash("sha256");
  hash.update((await download[Symbol.asyncIterator]().next()).value as Buffer);
  await until(
    "the removal of what was not published",
    async () => {
      const now = await blobs(stack);
      return left.every((name) => !now.has(name));
    },
    SWEPT_MS,
  );
  for await (const part of download) hash.update(part as Buffer);
  assert.equal(hash.digest("hex"), artifact.sha256);
}

/** Files in which the local bucket keeps large things: parts of uploads, no logs. */
async function blobs({ folder }: TestStack): Promise<Set<string>> {
  const root = join(folder, "edge");
  const names = (await readdir(root, { recursive: true })).filter((name) =>
    /r2\/.*\/blobs\/[^/]+$/.test(name),
  );
  // What is removed meanwhile has no size.
  const sizes = await Promise.all(
    names.map((name) =>
      stat(join(root, name)).then(
        ({ size }) => size,
        () => 0,
      ),
    ),
  );
  return new Set(names.filter((_, index) => (sizes[index] ?? 0) >= PART_BYTES));
}

async function added(stack: TestStack, before: ReadonlySet<string>): Promise<string[]> {
  return [...(await blobs(stack))].filter((name) => !before.has(name));
}

function openDownload(stack: TestStack, url: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    get(new URL(stack.path(url), stack.url), resolve).on("error", reject);
  });
}

async function onAgents(stack: TestStack, action: "cordon" | "uncordon"): Promise<void> {
  for (const { agent } of await stack.agents()) await stack.actOnAgent(agent, action);
}

function only(watched: Watched | null): Watched {
  if (watched === null) throw new Error("the build was not started");
  return watched;
}
