/**
 * The lint of the walls (docs/architecture.md, "Rooms"): who may import whom, who may touch what.
 * Prints each violation and exits 1 when there is one.
 */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative, resolve, sep } from "node:path";

export type Violation = { file: string; rule: string };

/** What each room may import besides itself. Its tests may use TEST_TOOLS too, and test/ may use everything. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  shared: [],
  worker: ["shared"],
  agent: ["shared"],
  cli: ["shared"],
  test: ["shared", "worker", "agent", "cli"],
};
/** The tools of tests: what they share, and the git host of the development stack. */
const TEST_TOOLS = /^(?:test\/support\/|cli\/dev\/(?:git-server|repository)\.ts$)/;
/** A package or global, and the one place that may touch it. */
const KEPT_PACKAGES: readonly { packages: RegExp; place: RegExp; rule: string }[] = [
  {
    packages: /^(?:dockerode|docker-modem)$/,
    place: /^agent\/docker\//,
    rule: "only agent/docker imports dockerode",
  },
];
/** Rooms that get clock, randomness and transport from outside. */
const PURE = /^(?:shared|worker\/core)\//;
const IMPURE_PACKAGE = /^(?:node:|cloudflare:|hono(?:\/|$)|ws$|isomorphic-git)/;
const IMPURE_CODE: readonly [pattern: RegExp, what: string][] = [
  [/\bDate\.now\(|\bnew Date\(\)|\bperformance\.now\(/, "clock"],
  [/\bMath\.random\(|\bcrypto\.(?:getRandomValues|randomUUID)\(/, "randomness"],
  [/(?<![.\w])fetch\(|\bset(?:Timeout|Interval)\(|\bnew WebSocket\(/, "I/O or timers"],
  [/(?<![.\w])process\./, "process"],
];
/** R2 as a platform type, or the binding at work; to hand the binding on is no touch. */
const R2 = /\bR2[A-Z]\w*|\.ARTIFACTS\s*(?:\.|\?\.|\[)/;
const R2_PLACE = "worker/artifacts.ts";

const SKIPPED = new Set(["node_modules", "dist", "docs", "images", "deploy"]);
const IMPORTS = [
  /^(?:import|export)\b[^;'"]*?\bfrom\s*["']([^"']+)["']/gm,
  /^import\s*["']([^"']+)["']/gm,
  /\bimport\(\s*["']([^"']+)["']\s*\)/g,
];

/** Every violation below `root`, the folder that holds the rooms. */
export function checkWalls(root: string): Violation[] {
  const files = sources(root, root).map((file) => {
    const code = withoutComments(readFileSync(join(root, file), "utf8"));
    return { file, code, imports: importsOf(file, code) };
  });
  const violations = files.flatMap(({ file, code, imports }) => [
    ...imports.flatMap((target) => importRules(file, target)),
    ...codeRules(file, code),
  ]);
  const graph = new Map(
    files.filter(({ file }) => !isTest(file)).map(({ file, imports }) => [file, imports]),
  );
  return [...violations, ...cycles(graph)];
}

/** TypeScript sources as paths relative to `root`, with forward slashes. Generated declarations are no source. */
function sources(root: string, folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory())
      return SKIPPED.has(entry.name) || entry.name.startsWith(".") ? [] : sources(root, path);
    const isSource = /\.tsx?$/.test(entry.name) && !entry.name.endsWith(".d.ts");
    return isSource ? [relative(root, path).split(sep).join("/")] : [];
  });
}

function withoutComments(code: string): string {
  return code.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|[^:"'`])\/\/.*$/gm, "$1");
}

/** Imported packages by name, imported files as paths relative to the root. */
function importsOf(file: string, code: string): string[] {
  const names = IMPORTS.flatMap((pattern) => [...code.matchAll(pattern)].map((match) => match[1]));
  return names.flatMap((name) => {
    if (name === undefined) return [];
    return name.startsWith(".")
      ? [
          normalize(join(dirname(file), name))
            .split(sep)
            .join("/"),
        ]
      : name;
  });
}

function roomOf(path: string): string | undefined {
  const room = path.split("/")[0] ?? "";
  return path.includes("/") && Object.hasOwn(MAY_IMPORT, room) ? room : undefined;
}

function isTest(file: string): boolean {
  return file.startsWith("test/") || /\.test\.tsx?$/.test(file);
}

function importRules(file: string, target: string): Violation[] {
  const rules: string[] = [];
  const from = roomOf(file);
  const to = isPackage(target) ? undefined : roomOf(target);
  if (from !== undefined && to !== undefined && from !== to) {
    const allowed = MAY_IMPORT[from]?.includes(to) || (isTest(file) && TEST_TOOLS.test(target));
    if (!allowed) rules.push(`${from} never imports ${to} (${target})`);
  }
  if (file.startsWith("worker/core/") && target.startsWith("worker/") && !isTest(file)) {
    if (!target.startsWith("worker/core/")) rules.push(`worker/core imports no shell (${target})`);
  }
  if (PURE.test(file) && !isTest(file) && isPackage(target) && IMPURE_PACKAGE.test(target))
    rules.push(`${file.startsWith("shared/") ? "shared" : "worker/core"} is pure (${target})`);
  for (const { packages, place, rule } of KEPT_PACKAGES)
    if (packages.test(target) && !place.test(file)) rules.push(rule);
  return rules.map((rule) => ({ file, rule }));
}

function isPackage(target: string): boolean {
  return !/\.(?:tsx?|m?js|json)$/.test(target) || !target.includes("/");
}

function codeRules(file: string, code: string): Violation[] {
  const rules: string[] = [];
  if (isTest(file)) return [];
  if (PURE.test(file))
    for (const [pattern, what] of IMPURE_CODE) {
      const found = pattern.exec(code)?.[0];
      if (found !== undefined) rules.push(`this room has no ${what} of its own (${found})`);
    }
  if (file.startsWith("worker/") && file !== R2_PLACE) {
    const found = R2.exec(code)?.[0];
    if (found !== undefined) rules.push(`only ${R2_PLACE} touches R2 (${found})`);
  }
  return rules.map((rule) => ({ file, rule }));
}

/** One violation for each circle of imports, named by its alphabetically first file. */
function cycles(graph: ReadonlyMap<string, readonly string[]>): Violation[] {
  const found = new Map<string, Violation>();
  const done = new Set<string>();
  const visit = (file: string, trail: readonly string[]): void => {
    const at = trail.indexOf(file);
    if (at !== -1) {
      const circle = trail.slice(at);
      const first = circle.indexOf([...circle].sort()[0] as string);
      const turned = [...circle.slice(first), ...circle.slice(0, first)];
      const rule = `circular import: ${[...turned, turned[0]].join(" -> ")}`;
      found.set(rule, { file: turned[0] as string, rule });
      return;
    }
    if (done.has(file)) return;
    for (const target of graph.get(file) ?? [])
      if (graph.has(target)) visit(target, [...trail, file]);
    done.add(file);
  };
  for (const file of graph.keys()) visit(file, []);
  return [...found.values()];
}

if (import.meta.main) {
  const violations = checkWalls(resolve(import.meta.dirname, ".."));
  for (const { file, rule } of violations) console.error(`${file}: ${rule}`);
  if (violations.length > 0) console.error(`${violations.length} violations of the walls`);
  process.exitCode = violations.length > 0 ? 1 : 0;
}
