/** What Railhead adds to the two containers that any such build needs. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RepositoryCommit, RepositoryFile } from "../../cli/dev/repository.ts";
import { folderFiles } from "../support/fixtures.ts";
import { RealPrograms } from "../support/real-programs.ts";
import { openStack, type TestStack } from "../support/stack.ts";
import { ByHand, observe, type Recipe } from "./by-hand.ts";
import { fact, type Measure, median, promise, type Row, timed } from "./measure.ts";

const PLATFORM = "linux/amd64";
/** Nothing but a main function: what is left is overhead. */
const EMPTY = {
  "go.mod": "module git.example/bench/empty\n\ngo 1.21\n",
  "main.go": "package main\n\nfunc main() {}\n",
};

export const builds: Measure = {
  name: "builds",
  how: "The time from a POST with ?wait= to its 303, against the same fetch and build containers created, started and awaited by hand, on volumes of their own. Cold: a repository that was never built. Warm: later tags of one repository. Both in turns; medians. By hand nothing is archived, hashed, stored or cleaned up.",
  async run({ quick }) {
    const counts = quick ? { cold: 1, warm: 2 } : { cold: 3, warm: 9 };
    const folder = await mkdtemp(join(tmpdir(), "railhead-bench-"));
    try {
      await using programs = new RealPrograms();
      await programs.unpack("goawk", join(folder, "goawk"));
      const sources = { empty: EMPTY, goawk: await folderFiles(join(folder, "goawk")) };
      const repositories: Record<string, RepositoryCommit[]> = {};
      for (const [name, files] of Object.entries(sources))
        for (let i = 0; i < counts.cold; i++)
          repositories[`bench/${name}-${i}`] = history(files, counts.warm + 2);
      const stack = await openStack({ repositories, capacity: 1 });
      try {
        return [
          ...added("empty program", await compare(stack, "empty", counts), true),
          ...added("goawk", await compare(stack, "goawk", counts), false),
        ];
      } finally {
        await stack.close();
      }
    } finally {
      await rm(folder, { recursive: true });
    }
  },
};

/** The same program again and again, each time with another line in a file that is no code. */
function history(files: Record<string, RepositoryFile>, count: number): RepositoryCommit[] {
  return Array.from({ length: count }, (_, i) => ({
    files: { ...files, CHANGES: `${i}\n` },
    tag: `v0.0.${i}`,
    annotated: true,
  }));
}

/** Milliseconds of each build. */
type Times = Record<"cold" | "warm", { ours: number[]; byHand: number[] }>;

async function compare(
  stack: TestStack,
  name: string,
  counts: Record<"cold" | "warm", number>,
): Promise<Times> {
  const times: Times = { cold: { ours: [], byHand: [] }, warm: { ours: [], byHand: [] } };
  const repository = (i: number) => `bench/${name}-${i}`;
  const version = (i: number) => `v0.0.${i}`;
  const path = (i: number, tag: number) =>
    `/git.example/${repository(i)}/${PLATFORM}/${version(tag)}`;
  // The histories are the same, commit by commit.
  const commit = (i: number) => stack.commits(repository(0))[i] as string;

  times.cold.ours.push(await build(stack, path(0, 0)));
  const recipe = await watched(stack, path(0, 1), version(1), commit(1));
  await using hand = new ByHand();
  times.cold.byHand.push(await hand.run(recipe, version(0), commit(0)));
  for (let i = 1; i < counts.cold; i++) {
    times.cold.ours.push(await build(stack, path(i, 0)));
    await using fresh = new ByHand();
    times.cold.byHand.push(await fresh.run(recipe, version(0), commit(0)));
  }
  for (let tag = 2; tag < counts.warm + 2; tag++) {
    times.warm.ours.push(await build(stack, path(0, tag)));
    times.warm.byHand.push(await hand.run(recipe, version(tag), commit(tag)));
  }
  return times;
}

/** `empty` builds are judged by what is added in milliseconds, which only shows where no compiler runs. */
function added(what: string, times: Times, empty: boolean): Row[] {
  return (["cold", "warm"] as const).flatMap((cache) => {
    const ours = median(times[cache].ours);
    const byHand = median(times[cache].byHand);
    const rows = [
      fact(`${what}, ${cache}`, ours, " ms"),
      fact(`${what}, ${cache}, by hand`, byHand, " ms"),
    ];
    const more = `${what}, ${cache}: added`;
    if (!empty) rows.push(promise(more, { below: 10 }, (ours / byHand - 1) * 100, " %"));
    else if (cache === "warm") rows.push(promise(more, { below: 300 }, ours - byHand, " ms"));
    else rows.push(fact(more, ours - byHand, " ms"));
    return rows;
  });
}

/** Milliseconds from the POST to the redirect to what it made. */
async function build(stack: TestStack, path: string): Promise<number> {
  const { ms, value } = await timed(() => stack.post(`${path}?wait=300`));
  if (value.status !== 303) throw new Error(`${path}: ${value.status} ${await value.text()}`);
  return ms;
}

/** Builds a version that is not measured, and reads what its containers are. */
async function watched(
  stack: TestStack,
  path: string,
  version: string,
  commit: string,
): Promise<Recipe> {
  const { build_id } = await stack.start(path);
  let over = false;
  const ended = stack.ended(build_id).finally(() => {
    over = true;
  });
  const recipe = await observe(build_id, version, commit, () => over);
  await ended;
  return recipe;
}
