import assert from "node:assert/strict";
import { test } from "node:test";
import { BodyReader } from "./bodies.ts";

const BYTES = new TextEncoder().encode("short");

test("what came before a body failed is read, then the failure", async () => {
  const body = new BodyReader(() => {});
  body.data(BYTES, () => {});
  body.fail(new Error("the app is gone"));
  const reader = body.stream.getReader();
  assert.deepEqual(await reader.read(), { done: false, value: BYTES });
  await assert.rejects(reader.read(), /the app is gone/);
});

test("a body that fails while it is waited for fails at once", async () => {
  const body = new BodyReader(() => {});
  const reading = body.stream.getReader().read();
  body.fail(new Error("the app is gone"));
  await assert.rejects(reading, /the app is gone/);
});

test("a reader that goes away is told of once, and a failure behind it to nobody", async () => {
  let told = 0;
  const body = new BodyReader(() => void told++);
  body.data(BYTES, () => {});
  await body.stream.cancel();
  body.fail(new Error("the app is gone"));
  assert.equal(told, 1);
});
