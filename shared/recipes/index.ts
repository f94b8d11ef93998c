/** The recipes. A fifth one is added here, in `worker/api`, `agent/recipes` and nowhere else. */
import * as z from "zod";
import { goArtifactPath, goFilePath, goLogParams, goTargetKey, goTargetSchema } from "./go.ts";

export const targetSchema = z.discriminatedUnion("recipe", [goTargetSchema]);
export type Target = z.infer<typeof targetSchema>;
export type RecipeName = Target["recipe"];

/** The name of a target's object and, below `manifests/`, of its manifest in R2. */
export function targetKey(target: Target): string {
  return goTargetKey(target);
}

/** The path of the URL at which the thing asked for is downloaded, percent-encoded. */
export function artifactPath(target: Target): string {
  return goArtifactPath(target);
}

/** The path of the URL at which one published file is downloaded, percent-encoded. */
export function filePath(target: Target, file: string): string {
  return goFilePath(target, file);
}

/** `params` of a build's first log line: what was asked for, in the words of the recipe. */
export function logParams(target: Target): Record<string, string> {
  return goLogParams(target);
}
