import assert from "node:assert/strict";
import { test } from "node:test";
import { chunksOf, PushLines, stepOf } from "./image-output.ts";

test("what a container wrote to stderr is told from the rest", () => {
  const told = (said: string) => chunksOf(said).map(({ stream, data }) => [stream, String(data)]);
  assert.deepEqual(told("out\n"), [["stdout", "out\n"]]);
  assert.deepEqual(told("\u001b[91merr\n\u001b[0m"), [["stderr", "err\n"]]);
  assert.deepEqual(told("a\u001b[91mb\u001b[0mc\u001b[91md"), [
    ["stdout", "a"],
    ["stderr", "b"],
    ["stdout", "c"],
    ["stderr", "d"],
  ]);
  assert.deepEqual(told("a \u001b[0m colour \u001b[32m"), [
    ["stdout", "a \u001b[0m colour \u001b[32m"],
  ]);
});

test("the image of a step is known by the engine's own line alone", () => {
  assert.equal(stepOf(" ---> 8d16ff61074e\n"), "8d16ff61074e");
  for (const said of [
    "---> 8d16ff61074e\n",
    " ---> 8d16ff61074e",
    " ---> Running in 8d16ff61074e\n",
    "x\n ---> 8d16ff61074e\n",
  ])
    assert.equal(stepOf(said), null, said);
});

test("a push is told by changes of its layers, not by every tick", () => {
  const lines = new PushLines();
  const said = [
    { status: "The push refers to repository [x]" },
    { id: "a", status: "Preparing" },
    { id: "a", status: "Pushing" },
    { id: "a", status: "Pushing" },
    { id: "a", status: "Retrying in 5 seconds" },
    { id: "a", status: "Retrying in 4 seconds" },
    { id: "a", status: "Pushing" },
    { id: "b", status: "Mounted from ns/other" },
    { id: "b", status: "Waiting" },
    { id: "a", status: "Pushed" },
    { aux: { Digest: "sha256:0" } },
  ].flatMap((progress) => lines.next(progress)?.data.toString() ?? []);
  assert.deepEqual(said, [
    "The push refers to repository [x]\n",
    "a: Preparing\n",
    "a: Pushing\n",
    "a: Retrying\n",
    "a: Pushing\n",
    "b: Mounted from ns/other\n",
    "a: Pushed\n",
  ]);
});
