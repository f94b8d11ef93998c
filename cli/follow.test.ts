import assert from "node:assert/strict";
import { test } from "node:test";
import type { BuildRecord } from "../shared/builds.ts";
import { requireSuccess } from "./follow.ts";

test("a build that did not go well ends with its reason as a sentence", () => {
  const end = (state: BuildRecord["state"], reason: string) => () =>
    requireSuccess({ state, reason, class: null } as BuildRecord);
  assert.throws(end("failed", "exit status 2."), /^CliError: The build failed: exit status 2\.$/);
  assert.throws(
    end("cancelled", "it was cancelled by a caller."),
    /^CliError: The build ended: it was cancelled by a caller\.$/,
  );
  assert.throws(end("timed_out", "it ran for long."), /^CliError: The build timed out: it ran/);
  assert.doesNotThrow(end("succeeded", ""));
});
