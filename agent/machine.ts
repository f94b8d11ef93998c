/** The agent's ports on a real machine. */
import { randomBytes } from "node:crypto";
import { bootId, bootTime } from "./boot.ts";
import { dial } from "./dial.ts";
import { disk } from "./disk.ts";
import { call, download } from "./edge.ts";
import { type Identity, prove } from "./identity.ts";
import type { AgentPorts, Clock } from "./ports.ts";

export const clock: Clock = {
  now: bootTime,
  date: () => new Date(),
  after(ms, then) {
    const timer = setTimeout(then, ms);
    return () => clearTimeout(timer);
  },
};

export function machine(identity: Identity): AgentPorts {
  return {
    clock,
    random: {
      hex: (bytes) => randomBytes(bytes).toString("hex"),
      fraction: Math.random,
    },
    disk,
    net: { dial, call, download },
    boot: bootId,
    prove: (nonce) => prove(identity, nonce),
  };
}
