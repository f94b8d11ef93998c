import { createHash } from "node:crypto";
import type { Alarm, Clock, Random, Sql } from "../../worker/core/ports.ts";
import { openSql } from "./sql.ts";

/** Ports in virtual time: `clock.advance(ms)` moves it, `alarm.at` is what the object asked to be woken for. */
export type VirtualPorts = {
  sql: Sql & { close(): void };
  clock: Clock & { advance(ms: number): void };
  random: Random;
  alarm: Alarm & { at: number | null };
};

export function virtualPorts(sql = openSql()): VirtualPorts {
  let now = Date.UTC(2026, 0, 1);
  let drawn = 0;
  return {
    sql,
    clock: {
      now: () => now,
      advance: (ms) => {
        now += ms;
      },
    },
    random: {
      hex: (bytes) =>
        createHash("sha512")
          .update(`draw ${drawn++}`)
          .digest("hex")
          .slice(0, bytes * 2),
    },
    alarm: {
      at: null,
      set(at) {
        this.at = at;
      },
    },
  };
}
