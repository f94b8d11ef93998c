/** From fetched sources to the script that compiles them, dependencies first, and lays out the package. Pure. */
import * as z from "zod";
import { RecipeFailure } from "./contracts.ts";
import type {
  BuildSystem,
  FetchedDependency,
  FetchedPackage,
  PackageConfig,
} from "./erlang-contracts.ts";
import { BUILD_EXIT, BUILD_FUNCTIONS, MADE_FOLDERS, SOURCE_FOLDERS } from "./erlang-scripts.ts";

/** Bytes of the script: Linux takes no argument of more than 128 KiB. */
const SCRIPT_BYTES = 100 * 1024;

/** What is compiled: a dependency, or the package itself. */
export type Application = {
  /** Its name, as far as it is known before it is compiled. */
  name: string;
  folder: string;
  system: BuildSystem;
  config: PackageConfig | null;
  /** For an `.app` that does not say. */
  version: string;
  /** What coon's templates may ask. */
  about: Readonly<Record<string, string>>;
};

const text = z.union([z.string(), z.number(), z.boolean()]).transform(String);
const variable = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/);
/** Members of coon's settings that only the native compile reads. What makes no sense is as good as absent. */
const nativeMembers = z.object({
  disable_prebuild: z.boolean().catch(false),
  build_vars: z.array(z.union([z.string(), z.record(z.string(), text)])).catch([]),
  c_build_vars: z.array(z.record(variable, text)).catch([]),
  deps: z.array(z.object({ name: z.string() })).catch([]),
});

/** @throws RecipeFailure config_error when the settings are too large to be handed over */
export function buildScript(
  fetched: FetchedPackage & { system: BuildSystem },
  application: Application,
  asked: { name: string },
): string {
  const { dependencies, config } = fetched;
  const lines = [
    BUILD_FUNCTIONS,
    `project=${quote(application.name)}`,
    `package=${quote(asked.name)}`,
    ...dependencies.flatMap((each) => compile(ofDependency(each), BUILD_EXIT.dependency)),
    ...compile(application, BUILD_EXIT.package),
    call("stage", locksFile(config), ...folders(config)) + otherwise(BUILD_EXIT.output),
  ];
  const script = `${lines.join("\n")}\n`;
  if (Buffer.byteLength(script) <= SCRIPT_BYTES) return script;
  throw new RecipeFailure(
    "config_error",
    `The settings of the package and its dependencies make a script of more than ${SCRIPT_BYTES} bytes. Move long prebuild steps into files.`,
  );
}

/** The file in which coon keeps the commits of dependencies without a tag. */
export function locksFile(config: PackageConfig | null): string {
  return config?.file === "enot_config.json" ? "enot_locks.json" : "coon_locks.json";
}

export function folders(config: PackageConfig | null): string[] {
  return [...MADE_FOLDERS, ...(config?.with_source === false ? [] : SOURCE_FOLDERS)];
}

function ofDependency({ app, folder, system, config }: FetchedDependency): Application {
  return { name: app, folder, system, config, version: "0.0.0", about: {} };
}

function compile(application: Application, status: number): string[] {
  const { name, folder, system } = application;
  const begin = call("begin", name, system, folder);
  if (system === "native") return [begin, ...native(application, otherwise(status))];
  const command = { "erlang.mk": "erlang_mk", rebar3: "any_rebar" }[system];
  return [begin, command + otherwise(status)];
}

function native(application: Application, failing: string): string[] {
  const { name, version, config, about } = application;
  const members = nativeMembers.parse(config?.members ?? {});
  const { disable_prebuild, build_vars, c_build_vars, deps } = members;
  const steps = disable_prebuild ? [] : (config?.prebuild ?? []);
  const words = (option: string, values: readonly string[]) =>
    values.flatMap((value) => [option, value]);
  return [
    ...steps.map(({ shell, params }, at) => call("prebuild", String(at + 1), shell, ...params)),
    call("nif", name, ...c_build_vars.flatMap(assignments)) + failing,
    call(
      ...["native", name, version],
      ...words("--vsn", config?.app_vsn ? [config.app_vsn] : []),
      ...words("--first", config?.parse_transforms ?? []),
      ...words("--define", build_vars.flatMap(assignments)),
      ...words(
        "--dep",
        deps.map((each) => each.name.slice(each.name.lastIndexOf("/") + 1)),
      ),
      ...Object.entries(about).flatMap(([key, value]) => ["--about", key, value]),
    ) + failing,
  ];
}

function assignments(values: string | Record<string, string>): string[] {
  if (typeof values === "string") return [values];
  return Object.entries(values).map(([name, value]) => `${name}=${value}`);
}

function call(name: string, ...words: readonly string[]): string {
  return [name, ...words.map(quote)].join(" ");
}

function otherwise(status: number): string {
  return ` || exit ${status}`;
}

/** One word of the shell, whatever is in it. No command line can hold a NUL. */
function quote(word: string): string {
  return `'${word.replaceAll("\0", "").replaceAll("'", `'\\''`)}'`;
}
