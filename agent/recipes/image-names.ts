/** Names of images as the engine understands them: several spellings are one name, and Docker Hub is where none is said. */
import { DOCKER_HUB, parseImageName } from "../../shared/recipes/image.ts";

export type BaseName = {
  /** As `docker images` shows it, with tag or digest: `debian:trixie`, `registry.example/base@sha256:…`. */
  name: string;
  /** The same without tag and digest. */
  repository: string;
  /** Host, with its port; null for Docker Hub. */
  registry: string | null;
};

const DIGEST = /@(sha256:[0-9a-f]{64})$/;
const HUB_NAMES = new Set([DOCKER_HUB, "docker.io"]);

/** Reads an image's name; null for what Docker would not take. */
export function parseBaseName(text: string): BaseName | null {
  const digest = DIGEST.exec(text)?.[1];
  const parsed = parseImageName(digest === undefined ? text : text.slice(0, -digest.length - 1));
  if (parsed === null) return null;
  const hub = HUB_NAMES.has(parsed.registry);
  // Of an official image only the last element is shown.
  const path = hub ? parsed.repository.replace(/^library\//, "") : parsed.repository;
  const repository = hub ? path : `${parsed.registry}/${path}`;
  return {
    name: digest === undefined ? `${repository}:${parsed.tag}` : `${repository}@${digest}`,
    repository,
    registry: hub ? null : parsed.registry,
  };
}

/** Whether a name is among what an operator allows: the repository itself, or what a word that ends in `/` begins. Empty allows all. */
export function isAllowed({ repository }: BaseName, words: readonly string[]): boolean {
  if (words.length === 0) return true;
  return words.some((word) =>
    word.endsWith("/") ? repository.startsWith(word) : repository === word,
  );
}
