/** The quick half of `npm run faults`, a test for each case, on two stacks at once. */
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { allCases } from "./all-cases.ts";
import type { Area } from "./case.ts";
import { Runner } from "./runner.ts";

/** What runs on a stack of its own: each half takes about as long as the other. */
const HALVES: readonly Area[][] = [
  ["agent", "control plane", "network", "races"],
  ["logs", "artifacts", "host", "input"],
];

const cases = (await allCases()).filter(({ quick }) => quick);

describe("what is broken leaves every invariant as it was", { concurrency: true }, () => {
  for (const areas of HALVES)
    describe(areas.join(", "), { concurrency: false }, () => {
      const runner = new Runner(() => {});
      after(async () => assert.deepEqual(await runner.close(), []));
      for (const one of cases.filter(({ area }) => areas.includes(area)))
        test(one.name, async (t) => {
          const { result, reasons } = await runner.run(one);
          if (result === "cannot run") t.skip(reasons.join(" "));
          else assert.deepEqual(reasons, []);
        });
    });
});
