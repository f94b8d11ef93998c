/**
 * Prometheus text exposition (version 0.0.4) of what the pools have counted. Written out here: a client
 * library counts in its own process and has no way to take in histograms that objects keep.
 */
import type { PoolStats } from "./core/contracts.ts";

export const METRICS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

type Sample = { suffix?: string; labels: Record<string, string>; value: number };

const HISTOGRAM_HELP: Record<PoolStats["histograms"][number]["name"], string> = {
  dispatch_seconds: "From the choice of an agent to its assign frame.",
  queue_seconds: "From the acceptance of a build to its first confirmed start, or its end.",
  run_seconds: "From the first confirmed start of a build to its end.",
};

/** Labels are pool, recipe, outcome, class and status: nothing that names a repository or a person. */
export function renderMetrics(pools: PoolStats[]): string {
  const gauge = (name: string, help: string, value: (stats: PoolStats) => number) =>
    family(
      name,
      "gauge",
      help,
      pools.map((stats) => ({ labels: { pool: stats.pool }, value: value(stats) })),
    );
  const histogram = (name: keyof typeof HISTOGRAM_HELP) =>
    family(
      `railhead_${name}`,
      "histogram",
      HISTOGRAM_HELP[name],
      pools.flatMap((stats) => histogramSamples(stats, name)),
    );
  return [
    gauge("railhead_queue_length", "Builds that wait for an agent.", ({ queued }) => queued),
    gauge("railhead_builds_running", "Attempts that hold a slot.", ({ running }) => running),
    gauge("railhead_capacity", "Slots of agents that take work.", ({ capacity }) => capacity),
    family(
      "railhead_agents",
      "gauge",
      "Registered agents by status; cordoned are those that are connected but take no new work.",
      pools.flatMap(({ pool, agents }) =>
        Object.entries(agents).map(([status, value]) => ({ labels: { pool, status }, value })),
      ),
    ),
    family(
      "railhead_builds_total",
      "counter",
      "Builds that ended; class says why one did not succeed.",
      pools.flatMap(({ pool, ended }) =>
        ended.map(({ recipe, outcome, class: endClass, count }) => ({
          labels: { pool, recipe, outcome, class: endClass ?? "" },
          value: count,
        })),
      ),
    ),
    histogram("dispatch_seconds"),
    histogram("queue_seconds"),
    histogram("run_seconds"),
  ].join("");
}

function histogramSamples(stats: PoolStats, name: string): Sample[] {
  const { pool } = stats;
  const found = stats.histograms.find((histogram) => histogram.name === name);
  if (found === undefined) return [];
  return [
    ...found.buckets.map(({ le, count: value }) => ({
      suffix: "_bucket",
      labels: { pool, le: String(le) },
      value,
    })),
    { suffix: "_bucket", labels: { pool, le: "+Inf" }, value: found.count },
    { suffix: "_sum", labels: { pool }, value: found.sum },
    { suffix: "_count", labels: { pool }, value: found.count },
  ];
}

function family(name: string, type: string, help: string, samples: Sample[]): string {
  const lines = samples.map(({ suffix = "", labels, value }) => {
    const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escapeLabel(text)}"`);
    return `${name}${suffix}{${pairs.join(",")}} ${value}\n`;
  });
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join("")}`;
}

function escapeLabel(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
