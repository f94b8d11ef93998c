/** Area "control plane": a thousand agents lose the edge in one moment. They are the agent's own control lines, without hosts. */
import assert from "node:assert/strict";
import { Control } from "../../../agent/control.ts";
import type { Identity } from "../../../agent/identity.ts";
import { makeKey } from "../../../agent/identity.ts";
import { Lease } from "../../../agent/lease.ts";
import { createLogger } from "../../../agent/logger.ts";
import { machine } from "../../../agent/machine.ts";
import { registeredSchema } from "../../../shared/identity.ts";
import { RECONNECT_MAX_MS } from "../../../shared/limits.ts";
import { openStack, type TestStack } from "../../support/stack.ts";
import { until } from "../../support/until.ts";
import type { FaultCase } from "../case.ts";

const CROWD = 1_000;
/** Registrations under way at once. */
const ABREAST = 16;
/** Milliseconds within which all must be back: the longest pause, and the time for a slow front to let them in. */
const BACK_MS = 2 * RECONNECT_MAX_MS + 60_000;
/** The part of all tries that may fall into the busiest second: together would be a storm. */
const STORM_SHARE = 0.5;

/** One agent's line, and when it tried. */
class Member {
  connected = false;
  /** Times of its tries to connect, in milliseconds. */
  readonly tries: number[] = [];
  readonly control: Control;
  /** Why it gave up; null while it has not. */
  gaveUp: string | null = null;
  readonly end: Promise<void>;

  constructor(identity: Identity) {
    const ports = machine(identity);
    this.control = new Control({
      ports: {
        ...ports,
        net: {
          ...ports.net,
          dial: (url, bearer, events) =>
            ports.net.dial(url, bearer, {
              ...events,
              ended: (end) => {
                this.connected = false;
                events.ended(end);
              },
            }),
          call: (url, init, schema) => {
            this.tries.push(performance.now());
            return ports.net.call(url, init, schema);
          },
        },
      },
      identity,
      instance: ports.random.hex(8),
      lease: new Lease(ports.clock.now),
      log: createLogger({ json: false, write: () => {} }),
      events: {
        hello: () => ({
          engine: identity.agent,
          capacity: 0,
          labels: {},
          recipes: [],
          unwell: null,
          draining: false,
          held: [],
        }),
        welcomed: () => {
          this.connected = true;
        },
        assign: () => {},
        cancel: () => {},
        drain: () => {},
        expired: () => {},
        edgeTime: () => {},
      },
    });
    this.end = this.control.run().catch((error: unknown) => {
      this.gaveUp = String(error);
    });
  }
}

export const cases: FaultCase[] = [
  {
    area: "control plane",
    name: "a thousand agents lose the edge in one moment and come back",
    quick: false,
    async run(world) {
      const stack = await openStack({ repositories: {}, agents: 0 });
      world.defer(() => stack.close());
      const members: Member[] = [];
      world.defer(async () => {
        for (const { control } of members) control.stop();
        await Promise.all(members.map(({ end }) => end));
      });
      for (let i = 0; i < CROWD; i += ABREAST) {
        const some = Array.from({ length: Math.min(ABREAST, CROWD - i) }, (_, j) =>
          registered(stack, `crowd-${i + j}`),
        );
        for (const identity of await Promise.all(some)) members.push(new Member(identity));
      }
      const all = () => {
        assert.deepEqual(members.map(({ gaveUp }) => gaveUp).filter(Boolean), []);
        return members.every(({ connected }) => connected);
      };
      await until("a thousand agents", all, BACK_MS);
      for (const { tries } of members) tries.length = 0;
      await stack.killEdge();
      await stack.startEdge();
      world.healed();
      await until("a thousand agents again", all, BACK_MS);
      world.recovered();
      const tries = members.flatMap((member) => member.tries);
      const share = busiestSecond(tries) / tries.length;
      assert.ok(share < STORM_SHARE, `${Math.round(share * 100)} % of tries in one second`);
    },
  },
];

async function registered(stack: TestStack, name: string): Promise<Identity> {
  const key = await makeKey();
  const { kty, crv, x } = key;
  const answer = await stack.post("/agent/register", {
    headers: { authorization: `Bearer ${stack.token}`, "content-type": "application/json" },
    body: JSON.stringify({
      name,
      pool: "default",
      labels: {},
      public_key: { kty, crv, x },
    }),
  });
  const text = await answer.text();
  assert.equal(answer.status, 201, text);
  return { url: stack.url, key, ...registeredSchema.parse(JSON.parse(text)) };
}

function busiestSecond(times: readonly number[]): number {
  const counts = new Map<number, number>();
  for (const time of times) {
    const second = Math.floor(time / 1_000);
    counts.set(second, (counts.get(second) ?? 0) + 1);
  }
  return Math.max(...counts.values());
}
