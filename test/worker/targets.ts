/** Go targets of the tests' git host, with what a test does not care about filled in. */
import { type GoTarget, goTargetKey } from "../../shared/recipes/go.ts";
import { REMOTE } from "./edge.ts";

/** A target of `<owner>/<repo>` on the tests' git host. */
export function goTarget(repository: string, more: Partial<GoTarget> = {}): GoTarget {
  return {
    recipe: "go",
    remote: REMOTE,
    path: repository.split("/"),
    goos: "linux",
    goarch: "amd64",
    version: "v1.0.0",
    make: null,
    commit: "c".repeat(40),
    visibility: "public",
    advertised: true,
    ...more,
  };
}

/** What `publish` is given for it. */
export function publicationOf<F>(target: GoTarget, files: F) {
  return { key: goTargetKey(target), target, files };
}
