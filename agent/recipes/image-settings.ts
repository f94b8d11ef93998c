/** What the operator decides about image builds. The agent's configuration maps to it. */
export type ImageRecipeSettings = {
  /** Which of the engine's builders. */
  builder: "classic" | "buildkit";
  /** Network of RUN steps that BuildKit runs; the classic builder has rules for it. */
  buildkit_network: "none" | "bridge";
  /** Image with git that fetches sources which are commits. */
  git_image: string;
  /** Base URL, without a slash at its end, of each git host that may be built from. */
  remotes: Readonly<Record<string, string>>;
  /** Private addresses (CIDR) that a context may be fetched from all the same. */
  allow_addresses: readonly string[];
  /** Bytes of an image, all layers unpacked. */
  max_bytes: number;
  /** Bytes of a context, as it is sent. */
  context_bytes: number;
  /** Images that may be FROM: repositories, or what a word that ends in `/` begins; empty for all. */
  allow_from: readonly string[];
  /** Registries that may be pushed to; empty for all. */
  registries: readonly string[];
  /** Bytes of pulled base images that stay between builds; as many, of its own, BuildKit may keep. */
  cache_bytes: number;
};
