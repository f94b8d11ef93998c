/** What a failed build's last lines mean: a class that clients switch on, and a sentence that says what to do. */
import type { EndClass } from "../../shared/builds.ts";
import { sentence } from "../text.ts";
import { DISK_FULL } from "../workspace.ts";
import { RecipeFailure } from "./contracts.ts";
import { NO_MAIN_PACKAGE } from "./go-scripts.ts";

/** Characters of a line that a reason quotes. */
const QUOTE_CHARS = 300;

/** `path/file.go:12:3: …`, as the Go compiler, vet and cgo say it. */
const COMPILER_LINE = /^\s*(?:vet: )?[^\s:]+\.(?:go|s|c|h):\d+(?::\d+)?: (?!in function)/;

type Sign = { pattern: RegExp; class: EndClass; advice: string };

/** In order: what is said by a cause before what is said by its consequences. */
const SIGNS: Sign[] = [
  {
    pattern: DISK_FULL,
    class: "disk_full",
    advice: "The build needs more disk than the agent gives.",
  },
  {
    pattern:
      /fork(?:\/exec)?[^:]*: .*resource temporarily unavailable|\bcannot fork$|failed to create new OS thread/i,
    class: "too_many_processes",
    advice: "The build starts more processes than the agent allows.",
  },
  {
    pattern:
      /requires go >= |invalid go version|unknown directive: (?:toolchain|godebug|tool|ignore)/,
    class: "module_error",
    advice: "The repository wants a newer Go than the agent's builder image has.",
  },
  {
    pattern: /module lookup disabled by GOPROXY=off|dial tcp: lookup|Could not resolve host/,
    class: "module_error",
    advice:
      "Builds have no network: require it in go.mod, or vendor it, so that it is fetched before.",
  },
  {
    pattern:
      /missing go\.sum entry|updates to go\.mod needed|inconsistent vendoring|no required module provides|cannot find (?:module|package)|is not in (?:std|GOROOT)|go\.mod file not found|verifying .*: checksum mismatch|errors parsing go\.mod/,
    class: "module_error",
    advice: "Bring go.mod and go.sum up to date with `go mod tidy`.",
  },
  {
    pattern: /requires external \(cgo\) linking|build constraints exclude all Go files/,
    class: "compile_error",
    advice: "The program cannot be built for this platform without cgo.",
  },
];

/**
 * @param code exit code of the build container
 * @param tail its last lines
 * @param way whose build it was
 */
export function buildFailure(code: number, tail: string[], way: "make" | "default"): RecipeFailure {
  if (way === "default" && code === NO_MAIN_PACKAGE) return noMainPackage(tail);
  const sign = SIGNS.flatMap((candidate) => {
    const line = tail.find((text) => candidate.pattern.test(text));
    return line === undefined ? [] : [{ ...candidate, line }];
  })[0];
  if (sign) return new RecipeFailure(sign.class, `${quote(sign.line)} ${sign.advice}`);
  const compiler = tail.find((line) => COMPILER_LINE.test(line));
  if (compiler !== undefined) return new RecipeFailure("compile_error", quote(compiler));
  if (way === "default")
    return new RecipeFailure("compile_error", quote(tail.at(-1) ?? `go ended with status ${code}`));
  return makeFailure(code, tail);
}

function makeFailure(code: number, tail: string[]): RecipeFailure {
  const rule = tail.find((line) => /No rule to make target/.test(line));
  if (rule !== undefined)
    return new RecipeFailure(
      "make_error",
      `${quote(rule)} Name one of the makefile's own targets.`,
    );
  const missing = tail.find((line) => /: (?:command )?not found$/.test(line));
  if (missing !== undefined)
    return new RecipeFailure(
      "make_error",
      `${quote(missing)} The builder image does not have it: ask the agent's operator for another image.`,
    );
  const said = tail.findLast(
    (line) => line.trim() !== "" && !/^(?:g?make)(?:\[\d+\])?: /.test(line),
  );
  return new RecipeFailure(
    "make_error",
    `make ended with status ${code}${said === undefined ? "." : `: ${quote(said)}`}`,
  );
}

function noMainPackage(tail: string[]): RecipeFailure {
  const packages = tail.flatMap((line) => /^package (\S+)$/.exec(line)?.[1] ?? []);
  return new RecipeFailure(
    "no_main_package",
    packages.length === 0
      ? "There is no main package for this platform, and no other Go package."
      : `There is no main package for this platform, only libraries: ${packages.join(", ")}.`,
  );
}

/** What `go mod download` could not get. */
export function moduleFailure(tail: string[]): RecipeFailure {
  const failure = buildFailure(1, tail, "default");
  return failure.class === "module_error" || failure.class === "disk_full"
    ? failure
    : new RecipeFailure("module_error", `The modules cannot be had: ${failure.message}`);
}

function quote(line: string): string {
  const text = line.trim();
  return sentence(text.length > QUOTE_CHARS ? `${text.slice(0, QUOTE_CHARS)}…` : text);
}
