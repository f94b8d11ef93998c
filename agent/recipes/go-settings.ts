/** What the operator decides about Go builds. The agent's configuration maps to it. */
export type GoRecipeSettings = {
  /** Builder image: Go, git, GNU make and coreutils, as the official `golang` images on Debian have them. */
  image: string;
  /** Base URL, without a slash at its end, of each git host that may be built from. */
  remotes: Readonly<Record<string, string>>;
  goproxy: string;
  goprivate: string;
  gosumdb: string;
  /** Network of a repository's own makefile. */
  build_network: "none" | "outbound";
  cache: {
    /** Bytes that one cache of a repository may grow to. */
    repository_bytes: number;
    /** Bytes of all caches together, above which the least recently used go. */
    total_bytes: number;
  };
  /** Folder on the agent's disk for what the caches remember between builds. */
  folder: string;
};
