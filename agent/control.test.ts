import assert from "node:assert/strict";
import { test } from "node:test";
import { type ControlDown, PING } from "../shared/protocol.ts";
import { Control } from "./control.ts";
import { Lease } from "./lease.ts";
import { createLogger } from "./logger.ts";
import type { AgentPorts, LineEvents } from "./ports.ts";

const HELD = { build: "b".repeat(32), attempt: 1 };

/** A line of control to an edge that answers when the test says so. */
async function connect() {
  const sent: string[] = [];
  const dialled = Promise.withResolvers<LineEvents>();
  const ports: Pick<AgentPorts, "clock" | "random" | "net" | "prove"> = {
    clock: { now: () => 0, date: () => new Date(0), after: () => () => {} },
    random: { hex: () => "", fraction: () => 0 },
    net: {
      dial: (_url, _bearer, events) => {
        dialled.resolve(events);
        return {
          send: (data) => sent.push(data === PING ? PING : JSON.parse(String(data)).t) > 0,
          room: () => null,
          close: () => {},
          terminate: () => {},
        };
      },
      download: () => assert.fail("nothing is downloaded"),
      call: async (_url, _init, schema) => schema.parse({ nonce: "nonce" }),
    },
    prove: async () => "proof",
  };
  const control = new Control({
    ports,
    identity: {
      url: "https://edge.example",
      agent: "default.0123456789abcdef",
      name: "a",
      pool: "default",
      key: { kty: "OKP", crv: "Ed25519", x: "", d: "" },
    },
    instance: "first",
    lease: new Lease(() => 0),
    log: createLogger({ json: true, write: () => {} }),
    events: {
      hello: () => ({
        engine: "engine",
        capacity: 1,
        labels: {},
        recipes: [],
        unwell: null,
        draining: false,
        held: [HELD],
      }),
      welcomed: () => {},
      assign: () => {},
      cancel: () => {},
      drain: () => {},
      edgeTime: () => {},
      expired: () => {},
    },
  });
  void control.run();
  const events = await dialled.promise;
  const say = (frame: ControlDown) => events.text(JSON.stringify(frame));
  const welcome = () => say({ t: "welcome", epoch: 1, agent: "a", name: "a", drop: [] });
  return { control, events, sent, welcome };
}

test("an attempt that ends while the edge reads hello, which still names it, is told once it has", async () => {
  const { control, events, sent, welcome } = await connect();
  events.opened();
  control.send({ t: "done", ...HELD });
  assert.deepEqual(sent, ["hello"]);
  welcome();
  assert.deepEqual(
    sent.filter((frame) => frame !== PING),
    ["hello", "done"],
  );
});

test("what hello will say is said by nothing else", async () => {
  const { control, events, sent, welcome } = await connect();
  assert.equal(control.send({ t: "done", ...HELD }), false);
  events.opened();
  welcome();
  assert.deepEqual(
    sent.filter((frame) => frame !== PING),
    ["hello"],
  );
});
