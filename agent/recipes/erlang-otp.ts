/** Which Erlang/OTP a package is built for, and which further builds that leads to. Pure. */
import {
  ERLANG_LABEL,
  erlSchema,
  FOLLOW_BUILDS,
  FOLLOW_DEPTH,
  type Follow,
  type PackageAsked,
} from "../../shared/recipes/erlang.ts";
import type { Dependency, ResolvedRef } from "./erlang-contracts.ts";

export type Choice = {
  /** OTP major. */
  erl: string;
  /** Whether this agent has it. */
  here: boolean;
  /** Majors that other builds of the same version are for. */
  others: readonly string[];
};

/** Sorts R16B03 before 17 before 100: what the numbers in it say. */
function byAge(a: string, b: string): number {
  const number = (erl: string) => Number(/\d+/.exec(erl)?.[0] ?? 0);
  return number(a) - number(b) || (a < b ? -1 : 1);
}

/** Oldest first. */
export function majors(images: Readonly<Record<string, string>>): string[] {
  return Object.keys(images).sort(byAge);
}

/** The value of the label that says what this agent builds for. */
export function otpLabel(images: Readonly<Record<string, string>>): Record<string, string> {
  return { [ERLANG_LABEL]: majors(images).join(",") };
}

/** What the source is fetched with: git and Erlang of the newest, whatever the package is compiled with. */
export function fetchImage(images: Readonly<Record<string, string>>): string {
  const image = images[majors(images).at(-1) ?? ""];
  if (image === undefined) throw new Error("the Erlang recipe has no image");
  return image;
}

/**
 * The version that was asked for; else the first of the author's list that this agent has; else its newest.
 * Whoever asks for one version gets one.
 */
export function chooseOtp(
  asked: string | null,
  listed: readonly string[],
  images: Readonly<Record<string, string>>,
): Choice {
  const here = (erl: string) => Object.hasOwn(images, erl);
  if (asked !== null) return { erl: asked, here: here(asked), others: [] };
  const wanted = [...new Set(listed.filter((erl) => erlSchema.safeParse(erl).success))];
  const erl = wanted.find(here) ?? wanted[0] ?? majors(images).at(-1);
  if (erl === undefined) throw new Error("the Erlang recipe has no image");
  return { erl, here: here(erl), others: wanted.filter((other) => other !== erl) };
}

/** Builds that this one leads to: other versions of Erlang, then dependencies for the same one, each once. */
export function followed(
  asked: PackageAsked,
  resolved: ResolvedRef,
  { erl, others }: Choice,
  dependencies: readonly Dependency[],
): Follow[] {
  if (asked.depth >= FOLLOW_DEPTH) return [];
  const { remote, path, namespace, name } = asked;
  const all: Follow[] = [
    ...others.map((other) => ({
      ...{ remote, path, namespace, name, ref: resolved.version },
      erl: other,
      why: "version" as const,
    })),
    ...dependencies.map((dependency) => ({ ...dependency, erl, why: "dependency" as const })),
  ];
  const once = new Map(all.map((follow) => [JSON.stringify(follow), follow]));
  return [...once.values()].slice(0, FOLLOW_BUILDS);
}
