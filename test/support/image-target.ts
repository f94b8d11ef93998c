import type { ImageTarget } from "../../shared/recipes/image.ts";

/** An image as it is asked for without any option. */
export const PLAIN_IMAGE: Omit<ImageTarget, "job" | "image" | "source"> = {
  recipe: "image",
  push: true,
  tarball: false,
  dockerfile: "Dockerfile",
  stage: null,
  args: {},
  labels: {},
  no_cache: false,
  cache_from: [],
  visibility: "unlisted",
};
