/** What both of the engine's builders are told of a build. */
import { createHash } from "node:crypto";
import type Dockerode from "dockerode";
import { builtImage, type ImageSpec, type Owner } from "./contracts.ts";

/** A label of every image that we build. */
const MARK = "railhead.mark";

export type CommonQuery = Pick<
  Dockerode.ImageBuildOptions,
  "t" | "dockerfile" | "target" | "buildargs" | "labels" | "rm" | "forcerm"
>;

export function commonQuery({ owner, dockerfile, stage, args, labels }: ImageSpec): CommonQuery {
  return {
    t: builtImage(owner),
    dockerfile,
    ...(stage !== null && { target: stage }),
    buildargs: args,
    // One label, since each is a step of its own: no two images are the same one.
    labels: { ...labels, [MARK]: markOf(owner) },
    rm: true,
    forcerm: true,
  };
}

/** Of this attempt alone, yet not its build's id: whoever has the id may read the build, and whoever pulls the image has this. */
export function markOf({ build, attempt }: Owner): string {
  return createHash("sha256").update(`${build}-${attempt}`).digest("hex").slice(0, 32);
}
