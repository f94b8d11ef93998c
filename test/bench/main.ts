/**
 * `npm run bench`: measures what we promise, with the baseline in the same run, prints the table and writes it
 * to docs/benchmarks.md.
 *
 *   --quick       fewer repetitions, nothing written
 *   --only NAME   one measure, the others stay as they were written
 */
import { readFile, writeFile } from "node:fs/promises";
import { availableParallelism, totalmem } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { agent } from "./agent.ts";
import { apps } from "./apps.ts";
import { builds } from "./builds.ts";
import { crowd } from "./crowd.ts";
import { dispatch } from "./dispatch.ts";
import { download } from "./download.ts";
import { latency } from "./latency.ts";
import type { Measure, Row } from "./measure.ts";
import { search } from "./search.ts";
import { throughput } from "./throughput.ts";

const MEASURES: readonly Measure[] = [
  dispatch,
  latency,
  throughput,
  download,
  builds,
  crowd,
  search,
  agent,
  apps,
];
const REPORT = join(import.meta.dirname, "../../docs/benchmarks.md");

const { values } = parseArgs({
  options: { quick: { type: "boolean", default: false }, only: { type: "string" } },
});
const chosen = MEASURES.filter(({ name }) => values.only === undefined || values.only === name);
if (chosen.length === 0) {
  console.error(`--only takes one of ${MEASURES.map(({ name }) => name).join(", ")}`);
  process.exit(2);
}

const results = new Map<string, Row[]>();
for (const measure of chosen) {
  console.log(`\n${measure.name}`);
  const rows = await measure.run({ quick: values.quick });
  for (const row of rows)
    console.log(`  ${verdict(row).padEnd(6)} ${row.figure}: ${row.measured}${promised(row)}`);
  results.set(measure.name, rows);
}
if (!values.quick) {
  await writeFile(REPORT, report(await readFile(REPORT, "utf8")));
  console.log("\nwritten to docs/benchmarks.md");
}

function verdict(row: Row): string {
  return row.met === null ? "-" : row.met ? "met" : "MISSED";
}

function promised(row: Row): string {
  return row.target === null ? "" : ` (promised ${row.target})`;
}

/** `before`: the report as it was, for what was not measured now. */
function report(before: string): string {
  const cores = availableParallelism();
  const memory = Math.round(totalmem() / 2 ** 30);
  const lines = [
    "# Benchmarks",
    "",
    "Written by `npm run bench`. Every ratio has its baseline measured in the same run; figures of another",
    "machine can only be compared through such ratios. A promise that was missed is listed as missed.",
    "",
    `Machine: ${cores} cores, ${memory} GB, everything (edge, agents, engine, clients) on it at once. Node ${process.versions.node}.`,
  ];
  const sections = before.split(/^(?=## )/m).map((text) => text.trimEnd());
  for (const measure of MEASURES) {
    const rows = results.get(measure.name);
    const written = sections.find((text) => text.startsWith(`## ${measure.name}\n`));
    if (rows !== undefined) lines.push("", ...section(measure, rows));
    else if (written !== undefined) lines.push("", written);
  }
  return `${lines.join("\n")}\n`;
}

function section({ name, how }: Measure, rows: Row[]): string[] {
  const lines = [`## ${name}`, "", how, ""];
  lines.push("| figure | promised | measured | |", "| --- | --- | --- | --- |");
  for (const row of rows)
    lines.push(
      `| ${row.figure} | ${row.target ?? ""} | ${row.measured} | ${row.met === null ? "" : row.met ? "met" : "**missed**"} |`,
    );
  return lines;
}
