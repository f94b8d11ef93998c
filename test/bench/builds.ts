/** What Railhead adds to the two containers that any such build needs. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RepositoryCommit, RepositoryFile } from "../../cli/dev/repository.ts";
import { folderFiles } from "../support/fixtures.ts";
import { REAL_PROGRAMS, RealPrograms } from "../support/real-programs.ts";
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
  how: "The time from a POST with ?wait= to its 303 against the same fetch and build containers created, started and awaited by hand, with volumes of their own: cold with empty caches, warm on later tags of the same repository, in turns.",
  async run({ quick }) {
    const warm = quick ? 2 : 7;
    const folder = await mkdtemp(join(tmpdir(), "railhead-bench-"));
    try {
      await using programs = new RealPrograms();
      await programs.unpack("goawk", join(folder, "goawk"));
      const goawk = await folderFiles(join(folder, "goawk"));
      const names = { empty: "bench/empty", goawk: REAL_PROGRAMS.goawk.repository };
      const stack = await openStack({
        repositories: {
          [names.empty]: history(EMPTY, warm + 2),
          [names.goawk]: history(goawk, warm + 2),
        },
        capacity: 1,
      });
      try {
        return [
          ...(await compare(stack, "empty program", names.empty, warm, true)),
          ...(await compare(stack, "goawk", names.goawk, warm, false)),
        ];
      } finally {
        await stack.close();
      }
    } finally {
      await rm(folder, { recursive: true });
    }
  },
};

/** The same program again and again, each time with one more line in a file that is no code. */
function history(files: Record<string, RepositoryFile>, count: number): RepositoryCommit[] {
  return Array.from({ length: count }, (_, i) => ({
    files: { ...files, CHANGES: `${i}\n` },
    tag: `v0.0.${i}`,
    annotated: true,
  }));
}

async function compare(
  stack: TestStack,
  what: string,
  repository: string,
  warm: number,
  empty: boolean,
): Promise<Row[]> {
  const commits = stack.commits(repository);
  const version = (i: number) => `v0.0.${i}`;
  const commit = (i: number) => commits[i] as string;
  const path = (i: number) => `/git.example/${repository}/${PLATFORM}/${version(i)}`;

  const cold = await build(stack, path(0));
  const recipe = await watched(stack, path(1), version(1), commit(1));
  await using hand = new ByHand();
  const coldByHand = await hand.run(recipe, version(0), commit(0));

  const ours: number[] = [];
  const byHand: number[] = [];
  for (let i = 2; i < warm + 2; i++) {
    ours.push(await build(stack, path(i)));
    byHand.push(await hand.run(recipe, version(i), commit(i)));
  }
  const added = median(ours) - median(byHand);
  const rows = [
    fact(`${what}, cold`, cold, " ms"),
    fact(`${what}, cold, by hand`, coldByHand, " ms"),
    fact(`${what}, second tag`, median(ours), " ms"),
    fact(`${what}, second tag, by hand`, median(byHand), " ms"),
  ];
  if (empty)
    return [...rows, promise(`${what}: added to a warm build`, { below: 300 }, added, " ms")];
  return [
    ...rows,
    promise(`${what}: added to a cold build`, { below: 10 }, share(cold, coldByHand), " %"),
    promise(
      `${what}: added to a warm build`,
      { below: 10 },
      share(median(ours), median(byHand)),
      " %",
    ),
  ];
}

function share(ours: number, byHand: number): number {
  return (ours / byHand - 1) * 100;
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
