/** The images of an engine for recipes that make none. */
import type { Images } from "../docker/contracts.ts";

const never = () => Promise.reject(new Error("this engine has no images"));

async function* none(): AsyncIterable<never> {}

export const NO_IMAGES: Images = {
  inspect: async () => null,
  pull: never,
  isGuarded: () => false,
  holding: (_references, work) => work(),
  build: none,
  stages: async () => [],
  checkName: never,
  naming: never,
  save: never,
  push: none,
  trim: async () => {},
  pruneCache: async () => {},
};
