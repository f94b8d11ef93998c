/**
 * Reads a Dockerfile before the engine does, and refuses what the engine would do in the host's own network: it fetches
 * `ADD <url>` itself, wherever that leads (docker.md finding 4). Read as the classic builder reads it; where engines
 * differ, every reading must be harmless.
 */

import type { Builder } from "../docker/contracts.ts";

/** What a build needs of images besides its context, or why it is refused. */
export type Reading =
  | { kind: "refused"; reason: string }
  /** References as written, stages of the Dockerfile itself left out. */
  | { kind: "ok"; images: string[] };

/** Characters of a line that a reason quotes. */
const QUOTED_CHARS = 120;
/** Characters of a name or value with its variables put in: each may hold others, so that few lines could be endless. */
const SUBSTITUTED_CHARS = 4_096;
const DIRECTIVE = /^#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(\S.*)$/;
/** A word that begins a heredoc, as a shell splits words. */
const HEREDOC = /(?:^|\s)\d*<<-?[^<\s]/;
const URL = /:\/\/|git@/i;
/** What a builder replaces or takes away before it looks at a source: variables, quotes and escapes. */
const REWRITTEN = /[$"'\\`]/;
/** Where newer BuildKits look for the name of another frontend: behind `//` and a first line of `#!` too, and in JSON. */
const FRONTENDS = [/^[^\S\n]*(?:#|\/\/)[^\S\n]*syntax[^\S\n]*=.*/im, /^\s*\{.*/];
/** Build arguments that every step sees without asking, and that are no part of what a step's cache goes by. */
const PROXIES = new Set(["http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"]);
/** Mounts of a step: of `ssh` we have none to give. */
const MOUNTS = new Set(["bind", "cache", "secret", "tmpfs"]);
const NO_IMAGE = "scratch";
const EMPTY = /^\s*(?:#.*)?$/;
/** Some of them are blanks to the engine that are none to us. */
const CONTROL = /[^\P{Cc}\t\n\v\f\r]/u;

/** A name of a build argument that would steer every step's traffic. */
export function isProxyArgument(name: string): boolean {
  return PROXIES.has(name.toLowerCase());
}

/** A name of a build argument that would steer BuildKit itself: its frontend, its caches. */
export function isBuilderArgument(name: string): boolean {
  return /^buildkit_/i.test(name);
}

/** @param args build arguments of the request, which go before the Dockerfile's own defaults */
export function readDockerfile(
  text: string,
  args: Readonly<Record<string, string>>,
  builder: Builder["kind"],
): Reading {
  if (CONTROL.test(text)) return refused(text.slice(text.search(CONTROL)), "no control characters");
  const lines = text.replace(/^\ufeff/, "").split(/\r?\n/);
  const directives = directivesOf(lines);
  for (const name of ["syntax", "check"])
    if (directives.has(name))
      return refused(
        `# ${name}=${directives.get(name)}`,
        "this builder has no other frontend than its own: remove the line",
      );
  if (builder === "buildkit")
    for (const frontend of FRONTENDS) {
      const [found] = frontend.exec(text.replace(/^\ufeff/, "")) ?? [];
      if (found !== undefined) return refused(found, "this builder has no other frontend");
    }
  const sign = directives.get("escape") ?? "\\";
  if (sign !== "\\" && sign !== "`")
    return refused(`# escape=${sign}`, "an escape character is \\ or `");
  // Engines of before version 23 go on behind two escape characters too.
  const end = sign === "\\" ? "\\\\" : "`";
  let images: string[] = [];
  // Some of them take an indented comment between continued lines for what it would be without its #.
  for (const goesOn of [`${end}[ \\t]*$`, `(?:^|[^${end}])${end}[ \\t]*$`])
    for (const passed of [/^\s*(?:#.*)?$/, /^(?:#.*|\s*)$/]) {
      const instructions = instructionsOf(lines, { goesOn: new RegExp(goesOn), passed, sign });
      const reading = readInstructions(instructions, args, builder);
      if (reading.kind === "refused") return reading;
      images = [...new Set([...images, ...reading.images])];
    }
  return { kind: "ok", images };
}

/** Why a base image's ONBUILD instructions are refused; null when they are harmless. */
export function refusedTriggers(
  triggers: readonly string[],
  builder: Builder["kind"],
): string | null {
  for (const trigger of triggers) {
    // One trigger may hold several lines: the engine reads it as a Dockerfile.
    const reading = readDockerfile(trigger, {}, builder);
    if (reading.kind === "refused") return reading.reason;
    if (reading.images.length > 0)
      return refused(trigger, "an ONBUILD instruction must name no image").reason;
  }
  return null;
}

/** Comments at the very top of the form `# name=value`, by their names in lower case. */
function directivesOf(lines: readonly string[]): Map<string, string> {
  const found = new Map<string, string>();
  for (const line of lines) {
    const [, name, value] = DIRECTIVE.exec(line.trim()) ?? [];
    if (name === undefined || value === undefined) break;
    found.set(name.toLowerCase(), value);
  }
  return found;
}

type Grammar = {
  /** The end of a line that goes on in the next. */
  goesOn: RegExp;
  /** A line between continued ones that is passed over. */
  passed: RegExp;
  /** The character that says so. */
  sign: string;
};

/** Instructions with their continuation lines; comments and empty lines do not end one. */
function instructionsOf(lines: readonly string[], { goesOn, passed, sign }: Grammar): string[] {
  const instructions: string[] = [];
  let open: string | null = null;
  for (const line of lines) {
    if ((open === null ? EMPTY : passed).test(line)) continue;
    const continues = goesOn.test(line);
    const part: string = continues ? line.slice(0, line.lastIndexOf(sign)) : line;
    const whole: string = (open ?? "") + part;
    open = continues ? whole : null;
    if (!continues) instructions.push(whole);
  }
  if (open !== null) instructions.push(open);
  return instructions;
}

function readInstructions(
  instructions: readonly string[],
  args: Readonly<Record<string, string>>,
  builder: Builder["kind"],
): Reading {
  const images: string[] = [];
  const stages = new Set<string>();
  const defaults = new Map<string, string>();
  let stage = -1;
  for (const instruction of instructions) {
    const reason = refusedInstruction(instruction, builder);
    if (reason !== null) return { kind: "refused", reason };
    const { name, rest } = split(instruction);
    if (name === "arg" && stage === -1 && !declare(rest, args, defaults))
      return refused(instruction, `a value has at most ${SUBSTITUTED_CHARS} characters`);
    if (name === "from") {
      stage += 1;
      const from = readFrom(rest, defaults);
      if ("reason" in from) return refused(instruction, from.reason);
      if (from.image !== NO_IMAGE && !stages.has(from.image.toLowerCase())) images.push(from.image);
      if (from.as !== null) stages.add(from.as.toLowerCase());
    }
    for (const source of imagesOf(instruction)) {
      if (REWRITTEN.test(source)) return refused(instruction, "name the image as it is");
      const number = /^\d+$/.test(source) && Number(source) < stage;
      if (!number && !stages.has(source.toLowerCase())) images.push(source);
    }
  }
  return { kind: "ok", images };
}

/** Stages and images that an instruction takes files from, ONBUILD's inner one too. */
function imagesOf(instruction: string): string[] {
  const { name, rest } = split(instruction);
  if (name === "onbuild") return imagesOf(rest);
  if (name === "copy") return /(?:^|\s)--from=(\S+)/.exec(rest)?.slice(1) ?? [];
  if (name !== "run") return [];
  return flagsOf(rest).flatMap((flag) => {
    const from = mountOf(flag)?.get("from");
    return from === undefined ? [] : [from];
  });
}

/** Words before what an instruction is about. */
function flagsOf(rest: string): string[] {
  return /^(?:--\S+\s*)*/.exec(rest)?.[0].split(/\s+/).filter(Boolean) ?? [];
}

/** `--mount=key=value,key` by its keys; null for any other flag. */
function mountOf(flag: string): Map<string, string> | null {
  const [, settings] = /^--mount=(.*)$/i.exec(flag) ?? [];
  if (settings === undefined) return null;
  return new Map(
    settings.split(",").map((setting) => {
      const [key = "", ...value] = setting.split("=");
      return [key.toLowerCase(), value.join("=")];
    }),
  );
}

/** Why a flag of RUN is refused, which only BuildKit has; null when it is harmless. */
function refusedFlag(flag: string): string | null {
  const mount = mountOf(flag);
  if (mount === null) return "of the flags of RUN this agent takes --mount alone";
  if (REWRITTEN.test(flag))
    return "a mount must stand there as it is, without variables and quotes";
  const type = mount.get("type")?.toLowerCase() ?? "bind";
  return MOUNTS.has(type) ? null : `of mounts this agent has ${[...MOUNTS].join(", ")}`;
}

/** Why one instruction is refused by itself, ONBUILD's inner one too. */
function refusedInstruction(instruction: string, builder: Builder["kind"]): string | null {
  const { name, rest } = split(instruction);
  if (name === "onbuild") {
    if (split(rest).name === name)
      return refused(instruction, "no builder takes an ONBUILD within an ONBUILD").reason;
    return refusedInstruction(rest, builder);
  }
  if (["run", "copy", "add"].includes(name) && HEREDOC.test(rest))
    return refused(
      instruction,
      "this agent takes no here-documents: COPY a file with the lines, or join commands with && and \\",
    ).reason;
  if (name === "run" && builder === "buildkit")
    for (const flag of flagsOf(rest)) {
      const reason = refusedFlag(flag);
      if (reason !== null) return refused(instruction, reason).reason;
    }
  if (name !== "add") return null;
  const sources = sourcesOf(rest);
  if (sources.some(isAddress))
    return refused(
      instruction,
      "the engine itself would fetch it: use RUN with curl, or put the file into the context",
    ).reason;
  if (sources.some((source) => REWRITTEN.test(source)))
    return refused(
      instruction,
      "a source of ADD must stand there as it is, without variables, quotes and escapes: COPY takes those",
    ).reason;
  return null;
}

/** BuildKit takes `user@host:path` for a repository too. */
function isAddress(source: string): boolean {
  if (URL.test(source)) return true;
  const [host = ""] = source.split("/", 1);
  const at = host.indexOf("@", 1);
  return at !== -1 && host.indexOf(":", at + 2) !== -1;
}

/** What ADD takes: neither its flags nor its destination, which may hold variables. */
function sourcesOf(rest: string): string[] {
  const words = rest.replace(/^(?:\s*--[a-z]+(?:=\S*)?)*\s*/, "");
  try {
    const list: unknown = JSON.parse(words);
    if (Array.isArray(list) && list.every((word) => typeof word === "string"))
      return list.slice(0, -1);
  } catch {
    // Not the form in brackets: words between blanks.
  }
  return words.split(/\s+/).filter(Boolean).slice(0, -1);
}

function readFrom(
  rest: string,
  defaults: ReadonlyMap<string, string>,
): { image: string; as: string | null } | { reason: string } {
  if (/^--/.test(rest))
    return { reason: "this agent builds for its own platform alone: remove the flags of FROM" };
  const [, written, as] = /^(\S+)(?:\s+as\s+(\S+))?\s*$/i.exec(rest) ?? [];
  if (written === undefined) return { reason: "it is no FROM that this builder knows" };
  const image = substitute(written, defaults);
  if (!image || REWRITTEN.test(image))
    return { reason: "its image is not known before the build: give the ARG a value" };
  return { image, as: as ?? null };
}

/** ARG before the first FROM: `NAME`, `NAME=value`, several on one line. False when a value is too long. */
function declare(
  rest: string,
  args: Readonly<Record<string, string>>,
  defaults: Map<string, string>,
): boolean {
  for (const word of rest.split(/\s+/)) {
    const [name = "", ...value] = word.split("=");
    const given = Object.hasOwn(args, name) ? args[name] : undefined;
    const written = value.length === 0 ? undefined : unquote(value.join("="));
    const known = given ?? (written === undefined ? undefined : substitute(written, defaults));
    if (known === undefined && written !== undefined) return false;
    if (typeof known === "string") defaults.set(name, known);
  }
  return true;
}

function unquote(text: string): string {
  return /^(["'])(.*)\1$/.exec(text)?.[2] ?? text;
}

/** Puts variables in: `$NAME`, `${NAME}`, `${NAME:-default}`, `${NAME:+instead}`. Null when one of them has no value, undefined for too much. */
function substitute(text: string, values: ReadonlyMap<string, string>): string | null | undefined {
  let unknown = false;
  let chars = text.length;
  const found = text.replace(
    /\$(?:\{([A-Za-z_]\w*)(?::([-+])([^{}$]*))?\}|([A-Za-z_]\w*))/g,
    (_, braced?: string, operator?: string, word = "", plain?: string) => {
      const value = values.get(braced ?? plain ?? "") ?? "";
      chars += value.length;
      if (chars > SUBSTITUTED_CHARS) return "";
      if (operator === "-") return value === "" ? word : value;
      if (operator === "+") return value === "" ? "" : word;
      if (value === "") unknown = true;
      return value;
    },
  );
  if (chars > SUBSTITUTED_CHARS) return undefined;
  return unknown ? null : found;
}

function split(instruction: string): { name: string; rest: string } {
  const [, name = "", rest = ""] = /^\s*(\S*)\s*([\s\S]*)$/.exec(instruction) ?? [];
  return { name: name.toLowerCase(), rest };
}

function refused(what: string, why: string): { kind: "refused"; reason: string } {
  const shown = what.replace(/\s+/g, " ").trim().slice(0, QUOTED_CHARS);
  return { kind: "refused", reason: `The Dockerfile has \`${shown}\`: ${why}.` };
}
