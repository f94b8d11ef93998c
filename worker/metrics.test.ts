import assert from "node:assert/strict";
import { test } from "node:test";
import type { PoolStats } from "./core/contracts.ts";
import { renderMetrics } from "./metrics.ts";

const STATS: PoolStats = {
  pool: "default",
  queued: 3,
  running: 2,
  agents: { connected: 1, suspect: 0, gone: 4, cordoned: 1 },
  capacity: 2,
  ended: [
    { recipe: "go", outcome: "failed", class: "compile_error", count: 5 },
    { recipe: "go", outcome: "succeeded", class: null, count: 7 },
  ],
  histograms: [
    {
      name: "dispatch_seconds",
      buckets: [
        { le: 0.01, count: 2 },
        { le: 1, count: 3 },
      ],
      sum: 0.52,
      count: 4,
    },
  ],
};

test("what the pools counted comes out as Prometheus text", () => {
  const text = renderMetrics([STATS]);
  for (const line of [
    'railhead_queue_length{pool="default"} 3',
    'railhead_agents{pool="default",status="gone"} 4',
    'railhead_builds_total{pool="default",recipe="go",outcome="failed",class="compile_error"} 5',
    'railhead_builds_total{pool="default",recipe="go",outcome="succeeded",class=""} 7',
    "# TYPE railhead_dispatch_seconds histogram",
    'railhead_dispatch_seconds_bucket{pool="default",le="0.01"} 2',
    'railhead_dispatch_seconds_bucket{pool="default",le="1"} 3',
    'railhead_dispatch_seconds_bucket{pool="default",le="+Inf"} 4',
    'railhead_dispatch_seconds_sum{pool="default"} 0.52',
    'railhead_dispatch_seconds_count{pool="default"} 4',
  ])
    assert.ok(text.split("\n").includes(line), `${line}\n\n${text}`);
});

test("a label cannot break out of its quotes", () => {
  assert.match(renderMetrics([{ ...STATS, pool: 'a"\\\n' }]), /\{pool="a\\"\\\\\\n"\} 3/);
});

test("several pools stand side by side", () => {
  const text = renderMetrics([STATS, { ...STATS, pool: "fast", queued: 0 }]);
  assert.match(text, /railhead_queue_length\{pool="default"\} 3\n/);
  assert.match(text, /railhead_queue_length\{pool="fast"\} 0\n/);
  assert.equal(text.match(/# TYPE railhead_queue_length /g)?.length, 1);
});
