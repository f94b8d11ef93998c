import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { NameLocks } from "./name-locks.ts";

/** Work that goes on until it is told to end. */
function open(): { begun: () => boolean; end: () => void; work: () => Promise<void> } {
  const { promise, resolve } = Promise.withResolvers<void>();
  let begun = false;
  return {
    begun: () => begun,
    end: resolve,
    work: () => {
      begun = true;
      return promise;
    },
  };
}

test("many read a name at once, and who lends it out waits for all of them", async () => {
  const locks = new NameLocks();
  const [first, second, writer, late] = [open(), open(), open(), open()];
  const all = [
    locks.reading(["a", "b"], first.work),
    locks.reading(["a"], second.work),
    locks.writing("a", writer.work),
  ];
  await turn();
  assert.ok(first.begun() && second.begun() && !writer.begun());
  first.end();
  await turn();
  assert.ok(!writer.begun());
  second.end();
  await turn();
  assert.ok(writer.begun());
  all.push(
    locks.reading(["a"], late.work),
    locks.writing("b", async () => {}),
  );
  await turn();
  assert.ok(!late.begun());
  writer.end();
  await turn();
  assert.ok(late.begun());
  late.end();
  await Promise.all(all);
});

test("work that fails gives its names free", async () => {
  const locks = new NameLocks();
  const fail = () => Promise.reject(new Error("no"));
  await assert.rejects(locks.reading(["a", "a"], fail), /no/);
  await assert.rejects(locks.writing("a", fail), /no/);
  assert.equal(await locks.writing("a", async () => 1), 1);
});
