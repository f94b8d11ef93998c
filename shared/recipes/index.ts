/** The recipes. Another one is added here, in `worker/api`, `agent/recipes` and nowhere else. */
import * as z from "zod";
import { appArtifactPath, appLogParams, appTargetKey, appTargetSchema } from "./app.ts";
import {
  erlangArtifactPath,
  erlangFilePath,
  erlangLogParams,
  erlangNeeds,
  erlangPublicationKey,
  erlangRepository,
  erlangTargetKey,
  erlangTargetSchema,
  type Package,
  packageOf,
} from "./erlang.ts";
import {
  goArtifactPath,
  goFilePath,
  goLogParams,
  goRepository,
  goTargetKey,
  goTargetSchema,
} from "./go.ts";
import {
  BUILDKIT_LABEL,
  imageArtifactPath,
  imageCommit,
  imageFilePath,
  imageLogParams,
  imageNeeds,
  imageRepository,
  imageTargetKey,
  imageTargetSchema,
  NO_BUILDKIT,
  parseImageName,
} from "./image.ts";

export const targetSchema = z.discriminatedUnion("recipe", [
  goTargetSchema,
  imageTargetSchema,
  erlangTargetSchema,
  appTargetSchema,
]);
export type Target = z.infer<typeof targetSchema>;
export type RecipeName = Target["recipe"];

/** The name of a target's object: who asks for the same meets there. */
export function targetKey(target: Target): string {
  if (target.recipe === "go") return goTargetKey(target);
  if (target.recipe === "image") return imageTargetKey(target);
  if (target.recipe === "app") return appTargetKey(target);
  return erlangTargetKey(target);
}

/** Where, below `manifests/` in R2, `build` publishes the target. */
export function publicationKey(target: Target, build: string): string {
  return target.recipe === "erlang" ? erlangPublicationKey(target, build) : targetKey(target);
}

/** The commit that is built; null for a source that is none, or of which only the attempt learns it. */
export function targetCommit(target: Target): string | null {
  if (target.recipe === "go") return target.commit;
  return target.recipe === "image" ? imageCommit(target) : null;
}

/** Labels that an agent must have to build it. */
export function targetNeeds(target: Target): Record<string, string> {
  if (target.recipe === "erlang") return erlangNeeds(target);
  return target.recipe === "image" ? imageNeeds(target) : {};
}

/** That no agent has these labels, in the words of the recipe that asks for them; null where it has none of its own. */
export function unmetNeedsText(needs: Record<string, string>): string | null {
  return needs.buildkit === BUILDKIT_LABEL.buildkit ? NO_BUILDKIT : null;
}

/** Whether a build of it publishes files: an image may end in its registry alone, an app runs on its host. */
export function publishesFiles(target: Target): boolean {
  if (target.recipe === "app") return false;
  return target.recipe !== "image" || target.tarball;
}

/** The path of the URL at which the thing asked for is downloaded, percent-encoded. */
export function artifactPath(target: Target, build: string): string {
  if (target.recipe === "go") return goArtifactPath(target);
  if (target.recipe === "app") return appArtifactPath(target);
  return target.recipe === "image" ? imageArtifactPath(target) : erlangArtifactPath(target, build);
}

/** The path of the URL at which one published file is downloaded, percent-encoded. */
export function filePath(target: Target, build: string, file: string): string {
  if (target.recipe === "go") return goFilePath(target, file);
  if (target.recipe === "app") return appArtifactPath(target);
  return target.recipe === "image"
    ? imageFilePath(target, file)
    : erlangFilePath(target, build, file);
}

/** `params` of a build's first log line: what was asked for, in the words of the recipe. */
export function logParams(target: Target): Record<string, string> {
  if (target.recipe === "go") return goLogParams(target);
  if (target.recipe === "app") return appLogParams(target);
  return target.recipe === "image" ? imageLogParams(target) : erlangLogParams(target);
}

/** By what a build is found, whatever its recipe. Null where there is no such thing. */
export type Place = {
  /** `remote/owner/repo`. */
  repository: string | null;
  /** Owner and groups, or the first half of a package's name. */
  namespace: string | null;
  name: string;
  /** Tag, branch or commit. */
  version: string | null;
  /** `GOOS/GOARCH`, or the major version of Erlang. */
  variant: string | null;
};

/** `shown`: what is known of a package by now. */
export function placeOf(target: Target, shown: Package | null): Place {
  if (target.recipe === "go")
    return {
      repository: goRepository(target),
      namespace: target.path.slice(0, -1).join("/"),
      name: target.path.at(-1) as string,
      version: target.version,
      variant: `${target.goos}/${target.goarch}`,
    };
  if (target.recipe === "image") {
    const name = parseImageName(target.image);
    const path = name?.repository.split("/") ?? [];
    return {
      repository: imageRepository(target),
      namespace: [name?.registry, ...path.slice(0, -1)].join("/"),
      name: path.at(-1) ?? target.image,
      version: name?.tag ?? null,
      variant: null,
    };
  }
  if (target.recipe === "app")
    return {
      repository: null,
      namespace: null,
      name: target.project,
      version: String(target.generation),
      variant: null,
    };
  const found = shown ?? packageOf(target, null);
  if (found === null)
    return {
      repository: null,
      namespace: null,
      name: "erts",
      version: null,
      variant: target.erl,
    };
  return {
    repository: erlangRepository(target),
    namespace: found.namespace,
    name: found.name,
    version: found.version,
    variant: found.erl_version,
  };
}
