/** A line printed in a container, until a follower has it. */
import { lines } from "../support/sse.ts";
import { type Line, openStack } from "../support/stack.ts";
import { fact, type Measure, percentile, promise } from "./measure.ts";

const PAUSE_SECONDS = 0.05;

/** A build whose container prints the time, to the nanosecond, again and again. */
function clock(count: number): string {
  return `all:
\t@i=0; while [ $$i -lt ${count} ]; do date +%s.%N; sleep ${PAUSE_SECONDS}; i=$$((i + 1)); done
\tgo build -o clock .
`;
}

export const latency: Measure = {
  name: "latency",
  how: "A container prints the time every 50 ms; a follower of `GET /builds/{id}/logs?follow=1` on the same clock notes when each line comes.",
  async run({ quick }) {
    const count = quick ? 60 : 400;
    const stack = await openStack({
      repositories: {
        "bench/clock": [
          {
            files: {
              "go.mod": "module git.example/bench/clock\n\ngo 1.21\n",
              "main.go": "package main\n\nfunc main() {}\n",
              Makefile: clock(count),
            },
            tag: "v1.0.0",
          },
        ],
      },
    });
    try {
      const { build_id } = await stack.start("/git.example/bench/clock/linux/amd64/v1.0.0");
      const samples: number[] = [];
      for await (const line of lines(await stack.fetch(`/builds/${build_id}/logs?follow=1`))) {
        const now = performance.timeOrigin + performance.now();
        const { msg, stream } = JSON.parse(line) as Line;
        if (stream && /^\d+\.\d+$/.test(msg)) samples.push(now - Number(msg) * 1_000);
      }
      return [
        fact("container line → follower, p50", percentile(samples, 0.5), " ms"),
        promise("container line → follower, p95", { below: 250 }, percentile(samples, 0.95), " ms"),
      ];
    } finally {
      await stack.close();
    }
  },
};
