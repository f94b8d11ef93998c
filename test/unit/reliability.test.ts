/** docs/reliability.md: every proof that it names is there. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { allCases } from "../faults/all-cases.ts";
import { HOLES } from "../sim/holes.ts";

const ROOT = join(import.meta.dirname, "../..");
const PAGE = readFileSync(join(ROOT, "docs/reliability.md"), "utf8");
const QUOTED = /"([^"]+)"/g;

/** What stands behind each of `kind`, up to the next kind of proof: all proofs of a cell are parted by semicolons. */
function named(kind: RegExp): { match: RegExpMatchArray; names: string }[] {
  return PAGE.split(/[;|]/).flatMap((proof) => {
    const match = kind.exec(proof.trim());
    return match ? [{ match, names: proof }] : [];
  });
}

test("every test that the page names is in its file", () => {
  const proofs = named(/^`([^`]+\.test\.ts)` "/);
  assert.ok(proofs.length > 30);
  for (const { match, names } of proofs) {
    const source = readFileSync(join(ROOT, match[1] ?? ""), "utf8");
    for (const [quoted] of names.matchAll(QUOTED))
      assert.ok(source.includes(`test(${quoted}`), `${match[1]} has no test ${quoted}`);
  }
});

test("every fault that the page names is a case of the suite", async () => {
  const cases = new Set((await allCases()).map(({ name }) => name));
  const proofs = named(/^faults? "/);
  assert.ok(proofs.length > 15);
  for (const { names } of proofs)
    for (const [, name] of names.matchAll(QUOTED))
      assert.ok(cases.has(name ?? ""), `no fault is called "${name}"`);
});

test("every hole of the simulation is on the page, and no other", () => {
  const proofs = named(/^holes? `/);
  const shown = proofs.flatMap(({ names }) =>
    Array.from(names.matchAll(/`([^`]+)`/g), (m) => m[1]),
  );
  assert.deepEqual([...new Set(shown)].sort(), HOLES.map(({ name }) => name).sort());
});
