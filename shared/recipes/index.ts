/** The recipes. Another one is added here, in `worker/api`, `agent/recipes` and nowhere else. */
import * as z from "zod";
import { goArtifactPath, goFilePath, goLogParams, goTargetKey, goTargetSchema } from "./go.ts";
import {
  imageArtifactPath,
  imageCommit,
  imageFilePath,
  imageLogParams,
  imageTargetKey,
  imageTargetSchema,
} from "./image.ts";

export const targetSchema = z.discriminatedUnion("recipe", [goTargetSchema, imageTargetSchema]);
export type Target = z.infer<typeof targetSchema>;
export type RecipeName = Target["recipe"];

/** The name of a target's object and, below `manifests/`, of its manifest in R2. */
export function targetKey(target: Target): string {
  return target.recipe === "go" ? goTargetKey(target) : imageTargetKey(target);
}

/** The commit that is built; null for a source that is none. */
export function targetCommit(target: Target): string | null {
  return target.recipe === "go" ? target.commit : imageCommit(target);
}

/** Whether a build of it publishes files: an image may end in its registry alone. */
export function publishesFiles(target: Target): boolean {
  return target.recipe === "go" || target.tarball;
}

/** The path of the URL at which the thing asked for is downloaded, percent-encoded. */
export function artifactPath(target: Target): string {
  return target.recipe === "go" ? goArtifactPath(target) : imageArtifactPath(target);
}

/** The path of the URL at which one published file is downloaded, percent-encoded. */
export function filePath(target: Target, file: string): string {
  return target.recipe === "go" ? goFilePath(target, file) : imageFilePath(target, file);
}

/** `params` of a build's first log line: what was asked for, in the words of the recipe. */
export function logParams(target: Target): Record<string, string> {
  return target.recipe === "go" ? goLogParams(target) : imageLogParams(target);
}
