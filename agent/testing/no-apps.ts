/** The web apps of an engine that runs none. */
import type { AppContainers } from "../apps/contracts.ts";

const never = () => Promise.reject(new Error("this engine has no web apps"));

async function* none(): AsyncIterable<never> {}

export const NO_APPS: AppContainers = {
  start: never,
  keepUp: never,
  inspect: async () => null,
  list: async () => [],
  remove: async () => {},
  logs: none,
  secure: async () => {},
  keepImage: never,
  lending: never,
  keptImage: async () => null,
  trimImages: async () => {},
  trimProjects: async () => {},
};
