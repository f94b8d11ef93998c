/** What the steps of the Erlang recipe hand to each other. */
import type { PackageAsked } from "../../shared/recipes/erlang.ts";
import type { Want } from "./erlang-wants.ts";

export type ErlangSettings = {
  /** Builder images by OTP major; never empty where the recipe is served. */
  images: Readonly<Record<string, string>>;
  /** Base URL of each git host that may be built from. */
  remotes: Readonly<Record<string, string>>;
  /** Base URL of the repository of Hex packages. */
  hex: string;
};

/** The commit that a ref means now, and what kind of ref it is. */
export type ResolvedRef = { version: string; commit: string; kind: "tag" | "branch" | "commit" };

/** coonfig.json or enot_config.json, with the defaults of what it leaves out. */
export type PackageConfig = {
  file: "coonfig.json" | "enot_config.json";
  /** As it was written: what the regenerated file in the package says, too. */
  members: Readonly<Record<string, unknown>>;
  name: string | null;
  app_vsn: string | null;
  /** Majors that the author wants it built for, in their order. */
  erlang: readonly string[];
  with_source: boolean;
  /** Shell commands before the native compile. */
  prebuild: readonly { shell: string; params: readonly string[] }[];
  /** Modules' or files' names that are compiled before all others. */
  parse_transforms: readonly string[];
  /** Dependencies with a git URL and a tag. */
  deps: readonly Dependency[];
};

export type Dependency = Pick<PackageAsked, "remote" | "path" | "namespace" | "name"> & {
  ref: string;
};

/** `rebar3`: whatever reads rebar.config. */
export type BuildSystem = "native" | "erlang.mk" | "rebar3";

/** A dependency whose source lies in the workspace, before whatever needs it. */
export type FetchedDependency = {
  /** Its OTP application's name, which is its folder's. */
  app: string;
  folder: string;
  system: BuildSystem;
  config: PackageConfig | null;
};

/** What the fetch left in the workspace volume. */
export type FetchedPackage = {
  /** Folder of the checkout in the containers of the attempt. */
  folder: string;
  /** Seconds since the epoch at which the commit was made. */
  time: number;
  /** Null: none that we know. */
  system: BuildSystem | null;
  config: PackageConfig | null;
  /** In the order in which they have to be compiled. */
  dependencies: readonly FetchedDependency[];
  /** What the package says that it depends on. */
  wants: readonly Want[];
};
