/** What the pages call things. Pure: text from records, nothing of HTML. */
import { type BuildRecord, isTerminal } from "../../shared/builds.ts";
import { describeWait } from "../../shared/queue.ts";
import { packageOf } from "../../shared/recipes/erlang.ts";
import { goRepository } from "../../shared/recipes/go.ts";
import { imageRepository } from "../../shared/recipes/image.ts";

export const STATE_WORDS: Record<BuildRecord["state"], string> = {
  queued: "Queued",
  running: "Running",
  succeeded: "Succeeded",
  failed: "Failed",
  cancelled: "Cancelled",
  timed_out: "Timed out",
};

/** The recipes whose builds are listed; images are never (conventions, "Images"). */
export const LISTED_RECIPES = { go: "Go", erlang: "Erlang" } as const;
const RECIPE_WORDS: Record<string, string> = { ...LISTED_RECIPES, image: "Image" };

export function recipeWord(recipe: string): string {
  return RECIPE_WORDS[recipe] ?? recipe;
}

/** What is built, in up to three words: `github.com/owner/repo`, `v1.0.0`, `linux/amd64`. */
export type Title = { name: string; version: string | null; variant: string | null };

export function titleOf(record: BuildRecord): Title {
  const { target } = record;
  if (target.recipe === "go")
    return {
      name: goRepository(target),
      version: target.version,
      variant: `${target.goos}/${target.goarch}`,
    };
  if (target.recipe === "image") return { name: target.image, version: null, variant: null };
  if (target.recipe === "app")
    return { name: target.project, version: `deployment ${target.generation}`, variant: null };
  const found = record.package ?? packageOf(target, null);
  if (found === null) return { name: "Erlang runtime (erts)", version: null, variant: target.erl };
  return {
    name: `${found.namespace}/${found.name}`,
    version: found.version ?? "newest tag",
    variant: found.erl_version === null ? null : `Erlang ${found.erl_version}`,
  };
}

export function titleText({ name, version, variant }: Title): string {
  return [name, version, variant].filter((word) => word !== null).join(" ");
}

/** The page of what a build is one of; null when there is no such page. */
export function packagePath({ target }: BuildRecord): string | null {
  const path = (words: readonly string[]) => `/p/${words.map(encodeURIComponent).join("/")}`;
  if (target.visibility !== "public") return null;
  if (target.recipe === "go") return path([target.remote, ...target.path]);
  if (target.recipe !== "erlang" || target.asked.kind === "erts") return null;
  return path([target.asked.namespace, target.asked.name]);
}

/** `remote/owner/repo` that a build is made from; null where there is none. */
export function sourceOf({ target }: BuildRecord): string | null {
  if (target.recipe === "go") return goRepository(target);
  if (target.recipe === "image") return imageRepository(target);
  if (target.recipe === "app") return null;
  const { asked } = target;
  return asked.kind === "erts" ? null : [asked.remote, ...asked.path].join("/");
}

/** One sentence on how a build stands, and what to do where something can be done. */
export function standing(record: BuildRecord): string {
  const { state, attempt, phase, position, queue } = record;
  if (state === "queued") {
    const wait = describeWait(position, queue);
    return wait === "" ? "It waits for an agent." : `It waits: ${wait}.`;
  }
  if (state === "running") {
    const again = attempt > 1 ? `, attempt ${attempt}` : "";
    return phase === null ? `At work${again}.` : `At work${again}: ${phase}.`;
  }
  if (state === "succeeded") {
    const { running_ms } = record.timings;
    return running_ms === null ? "Done." : `Done in ${durationText(running_ms)}.`;
  }
  return record.reason ?? "Nobody said why. The log may.";
}

/** Whether a build can be asked for again from its record alone. */
export function canRebuild({ state, target }: BuildRecord): boolean {
  if (!isTerminal(state) || target.visibility !== "public") return false;
  // What a Go URL gives is the same for ever; a context that was sent along is gone.
  if (target.recipe === "go") return state !== "succeeded";
  return target.recipe === "erlang" && target.asked.kind === "package";
}

/** `3.2 MiB` */
export function sizeText(bytes: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB"];
  let [value, unit] = [bytes, 0];
  while (value >= 1_024 && unit < units.length - 1) {
    value /= 1_024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/** `0.3 s`, `42 s`, `3 min 20 s`, `2 h 5 min` */
export function durationText(ms: number): string {
  const seconds = ms / 1_000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${whole % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** `2026-11-21 15:58 UTC` of an RFC 3339 time. */
export function timeText(time: string): string {
  return `${time.slice(0, 10)} ${time.slice(11, 16)} UTC`;
}

/** How long ago, roughly: `just now`, `5 min ago`, `3 h ago`, `12 days ago`. */
export function agoText(time: string, now: number): string {
  const minutes = Math.floor((now - Date.parse(time)) / 60_000);
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${minutes} min ago`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ago`;
  return `${Math.floor(hours / 24)} days ago`;
}
