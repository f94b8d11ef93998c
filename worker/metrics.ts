/**
 * What the pools have counted, as Prometheus text (exposition format 0.0.4). Written out here: the histograms
 * are kept by objects, and the client library (prom-client) can only render what its own process observed.
 */
import type { PoolStats } from "./core/contracts.ts";

export const METRICS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

type Sample = { suffix?: string; labels: Record<string, string | number>; value: number };
type HistogramName = PoolStats["histograms"][number]["name"];

const HISTOGRAM_HELP: Record<HistogramName, string> = {
  dispatch_seconds: "From the choice of an agent to its assign frame.",
  queue_seconds: "From the acceptance of a build to its first confirmed start, or its end.",
  run_seconds: "From the first confirmed start of a build to its end.",
};

/** Labels never name a repository, an agent or a person. */
export function renderMetrics(pools: PoolStats[]): string {
  const gauge = (name: string, help: string, value: (stats: PoolStats) => number) =>
    family(
      name,
      "gauge",
      help,
      pools.map((stats) => ({ labels: { pool: stats.pool }, value: value(stats) })),
    );
  const histograms = (Object.keys(HISTOGRAM_HELP) as HistogramName[]).map((name) =>
    family(
      `railhead_${name}`,
      "histogram",
      HISTOGRAM_HELP[name],
      pools.flatMap((stats) => histogramSamples(stats, name)),
    ),
  );
  return [
    gauge("railhead_queue_length", "Builds that wait for an agent.", ({ queued }) => queued),
    gauge("railhead_builds_running", "Attempts that hold a slot.", ({ running }) => running),
    gauge("railhead_capacity", "Slots of agents that take work.", ({ capacity }) => capacity),
    family(
      "railhead_agents",
      "gauge",
      "Registered agents by status; cordoned are connected ones that take no new work.",
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
    ...histograms,
  ].join("");
}

function histogramSamples({ pool, histograms }: PoolStats, wanted: HistogramName): Sample[] {
  const found = histograms.find(({ name }) => name === wanted);
  if (found === undefined) return [];
  const bucket = (le: number | "+Inf", value: number): Sample => ({
    suffix: "_bucket",
    labels: { pool, le },
    value,
  });
  return [
    ...found.buckets.map(({ le, count }) => bucket(le, count)),
    bucket("+Inf", found.count),
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

function escapeLabel(text: string | number): string {
  return String(text).replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
