import assert from "node:assert/strict";
import { test } from "node:test";
import { CLOSE } from "../shared/protocol.ts";
import { registerAt, serviceOf, testHome } from "./testing/agent.ts";
import { TARGET, TestEdge } from "./testing/edge.ts";

const MORE = { from_the_future: { much: ["more"] } };
const UNKNOWN = JSON.stringify({ t: "weather", sky: "clear" });

test("an agent works with an edge that says more than it knows, on both its sockets", async () => {
  const edge = await TestEdge.start();
  const { home, remove } = testHome();
  await registerAt(edge, home);
  const heard = Promise.withResolvers<void>();
  const { service } = await serviceOf(home, async () => {
    await heard.promise;
    return [];
  });
  const running = service.run();
  await edge.until("it is connected", () => edge.control !== null);
  const { control } = edge;
  control?.send(UNKNOWN);
  const build = edge.assign({ target: { ...TARGET, ...MORE } });
  await edge.until("the attempt has started", () => build.starts === 1);
  build.socket?.send(UNKNOWN);
  build.socket?.send(JSON.stringify({ t: "ack", seq: build.acked, ...MORE }));
  heard.resolve();
  await edge.until("the build is done", () => build.done);
  assert.equal(build.starts, 1, "no socket was closed over it");
  assert.equal(edge.control, control);
  service.drain("the test is over");
  await running;
  await edge.stop();
  remove();
});

test("an agent that is too far from the edge's version says why, and comes back until one is upgraded", async () => {
  const edge = await TestEdge.start();
  const { home, remove } = testHome();
  await registerAt(edge, home);
  const { service, lines } = await serviceOf(home, async () => []);
  const running = service.run();
  await edge.until("it is connected", () => edge.control !== null);
  const why = "The agent speaks protocol 1, the edge 3: upgrade the agent.";
  edge.control?.close(CLOSE.incompatible, why);
  await edge.until("it comes back", () => edge.answersOf("hello").length === 2);
  assert.ok(lines.some((line) => line.includes(why)));
  service.drain("the test is over");
  await running;
  await edge.stop();
  remove();
});
