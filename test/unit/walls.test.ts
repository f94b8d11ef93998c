import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { test } from "node:test";
import { checkWalls } from "../walls.ts";

/** What the check says about a house with these files: `file: rule` lines. */
async function check(files: Record<string, string>): Promise<string[]> {
  const root = await mkdtemp(join(tmpdir(), "railhead-walls-"));
  try {
    for (const [file, code] of Object.entries(files)) {
      await mkdir(dirname(join(root, file)), { recursive: true });
      await writeFile(join(root, file), code);
    }
    return checkWalls(root).map(({ file, rule }) => `${file}: ${rule}`);
  } finally {
    await rm(root, { recursive: true });
  }
}

/** An import statement; put together here so that it is none of this file's own. */
function importing(...names: string[]): string {
  return names.map((name, i) => `import { x${i} } from "${name}";\n`).join("");
}

test("the house as it stands keeps its walls", () => {
  assert.deepEqual(checkWalls(resolve(import.meta.dirname, "../..")), []);
});

test("a clean house is not complained about", async () => {
  const found = await check({
    "shared/a.ts": importing("zod"),
    "worker/core/a.ts": `${importing("../../shared/a.ts")}// Date.now() is given by the shell\n`,
    "worker/artifacts.ts": "export type Store = R2Bucket;\n",
    "agent/docker/a.ts": importing("dockerode", "node:fs"),
    "agent/a.test.ts": importing(
      "./docker/a.ts",
      "../test/support/until.ts",
      "../cli/dev/git-server.ts",
    ),
    "worker/api/a.ts": "put(c.env.ARTIFACTS, key);\n",
    "cli/a.ts": importing("../shared/a.ts", "commander"),
    "test/e2e/a.test.ts": importing("../../cli/a.ts", "../../agent/docker/a.ts"),
  });
  assert.deepEqual(found, []);
});

for (const [what, file, code, rule] of [
  ["worker imports agent", "worker/a.ts", importing("../agent/a.ts"), /worker never imports agent/],
  ["agent imports worker", "agent/a.ts", importing("../worker/a.ts"), /agent never imports worker/],
  ["cli imports agent", "cli/b/a.ts", importing("../../agent/a.ts"), /cli never imports agent/],
  ["shared imports cli", "shared/a.ts", importing("../cli/a.ts"), /shared never imports cli/],
  ["a test imports another room", "cli/a.test.ts", importing("../agent/a.ts"), /cli never/],
  ["worker imports test", "worker/a.ts", importing("../test/a.ts"), /worker never imports test/],
  [
    "a type crosses a wall",
    "worker/a.ts",
    'import type {\n  A,\n} from "../agent/a.ts";\n',
    /worker never imports agent/,
  ],
  ["an export crosses a wall", "agent/a.ts", 'export * from "../worker/a.ts";\n', /agent never/],
  ["a late import crosses a wall", "cli/a.ts", 'await import("../worker/a.ts");\n', /cli never/],
  ["core imports objects", "worker/core/a.ts", importing("../objects/a.ts"), /imports no shell/],
  ["core reads the clock", "worker/core/a.ts", "const now = Date.now();\n", /no clock of its own/],
  ["core draws randomness", "worker/core/a.ts", "crypto.randomUUID();\n", /no randomness/],
  ["core fetches", "worker/core/a.ts", 'await fetch("x");\n', /no I\/O or timers/],
  ["shared reads files", "shared/a.ts", importing("node:fs"), /shared is pure/],
  ["the agent reaches around docker/", "agent/a.ts", importing("dockerode"), /only agent\/docker/],
  ["a route touches R2", "worker/api/a.ts", "c.env.ARTIFACTS.get(key);\n", /touches R2/],
] as const)
  test(`it is found when ${what}`, async () => {
    const found = await check({ [file]: code });
    assert.equal(found.length, 1, found.join("\n"));
    assert.match(found[0] as string, rule);
    assert.ok(found[0]?.startsWith(`${file}: `));
  });

test("a circle of imports is named once, whole", async () => {
  const found = await check({
    "cli/a.ts": importing("./b.ts"),
    "cli/b.ts": importing("./c.ts"),
    "cli/c.ts": importing("./a.ts"),
    "cli/d.ts": importing("./a.ts"),
  });
  assert.deepEqual(found, [
    "cli/a.ts: circular import: cli/a.ts -> cli/b.ts -> cli/c.ts -> cli/a.ts",
  ]);
});
