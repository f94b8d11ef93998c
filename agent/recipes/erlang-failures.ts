/** What a failed Erlang build's last lines mean: a class that clients switch on, and a sentence that says what to do. */
import type { EndClass } from "../../shared/builds.ts";
import { sentence } from "../text.ts";
import { DISK_FULL } from "../workspace.ts";
import { RecipeFailure } from "./contracts.ts";
import { BUILD_EXIT, COMPILING } from "./erlang-scripts.ts";

/** Characters of a line that a reason quotes. */
const QUOTE_CHARS = 300;

/** `src/a.erl:12:3: …`, as erlc, yecc, leex, gcc and our own compile say it. */
const COMPILER_LINE =
  /^\s*\S+\.(?:erl|hrl|yrl|xrl|app\.src|c|cc|cpp|C|h):(?:\{?\d+(?:[:,]\d+)?\}?:)? (?!\s*(?:Warning|warning|note):)/;
type Sign = { pattern: RegExp; class: EndClass; advice: string };

/** What is said before its consequences. */
const CAUSES: Sign[] = [
  {
    pattern: DISK_FULL,
    class: "disk_full",
    advice: "The build needs more disk than the agent gives.",
  },
  {
    pattern:
      /fork(?:\/exec)?[^:]*: .*resource temporarily unavailable|\bcannot fork$|Failed to create (?:thread|.*scheduler)/i,
    class: "too_many_processes",
    advice: "The build starts more processes than the agent allows.",
  },
];
/** What counts when no compiler found anything: rebar3 says it of plugins that it could do without, too. */
const TROUBLES: Sign[] = [
  {
    pattern: /Unable to run (?:pre|post) hooks .*in namespace|Plugin .* not available/i,
    class: "config_error",
    advice: "Plugins of rebar3 cannot be had: builds have no network.",
  },
  {
    pattern:
      /Failed to (?:fetch|update)|Package not found in any repo|Could not resolve host|nxdomain/,
    class: "dependency_error",
    advice: "Builds have no network: name each dependency in the repository's own settings.",
  },
];

/**
 * @param code exit code of the build container
 * @param tail its last lines
 */
export function buildFailure(code: number, tail: readonly string[]): RecipeFailure {
  if (code === BUILD_EXIT.no_tool)
    return new RecipeFailure("no_build_system", quote(tail.at(-1) ?? "There is no rebar."));
  if (code !== BUILD_EXIT.dependency && code !== BUILD_EXIT.package)
    return new RecipeFailure(
      "agent_error",
      `The build container ended with status ${code}: ${quote(tail.at(-1) ?? "it said nothing")}`,
    );
  const begun = tail.findLastIndex((line) => COMPILING.test(line));
  const own = tail.slice(begun + 1);
  const cause = signed(CAUSES, own);
  if (cause) return cause;
  // The first error, not the last: what follows is often its consequence.
  const line = own.find((text) => COMPILER_LINE.test(text));
  if (line === undefined) {
    const trouble = signed(TROUBLES, own);
    if (trouble) return trouble;
  }
  const said = quote(line ?? lastWords(own) ?? "It did not say why.");
  if (code === BUILD_EXIT.package) return new RecipeFailure("compile_error", said);
  const name = COMPILING.exec(tail[begun] ?? "")?.[1];
  return new RecipeFailure(
    "dependency_error",
    `The dependency ${name ?? "that was compiled last"} does not compile: ${said}`,
  );
}

function signed(signs: readonly Sign[], lines: readonly string[]): RecipeFailure | null {
  for (const { pattern, class: endClass, advice } of signs) {
    const line = lines.find((text) => pattern.test(text));
    if (line !== undefined) return new RecipeFailure(endClass, `${quote(line)} ${advice}`);
  }
  return null;
}

/** What was said before make gave up. */
function lastWords(lines: readonly string[]): string | null {
  return (
    lines.findLast((line) => line.trim() !== "" && !/^g?make(?:\[\d+\])?: /.test(line)) ?? null
  );
}

function quote(line: string): string {
  const text = line.trim();
  return sentence(text.length > QUOTE_CHARS ? `${text.slice(0, QUOTE_CHARS)}…` : text);
}
