/**
 * coonfig.json, later called enot_config.json: what coon's documentation (docs/project_configuration.md, docs/deps.md)
 * says about it. Unknown members are kept and ignored. Pure.
 */
import * as z from "zod";
import { commitSchema } from "../../shared/hashes.ts";
import { appNameSchema } from "../../shared/recipes/erlang.ts";
import { RecipeFailure } from "./contracts.ts";
import type { Dependency, PackageConfig } from "./erlang-contracts.ts";
import { gitWant, hexWant, open, type Remotes, type Want } from "./erlang-wants.ts";

/** Entries of one list in the file. */
const ENTRIES = 256;
/** Characters of one word in it. */
const WORD_CHARS = 1_024;
/** Characters of a prebuild step. */
const SHELL_CHARS = 16_384;

const word = z.string().max(WORD_CHARS);
const words = z.array(word).max(ENTRIES);

const dependencySchema = z.looseObject({
  /** The application, or namespace and application. */
  name: word.min(1),
  url: word.optional(),
  tag: word.optional(),
  branch: word.optional(),
});
type DependencyEntry = z.infer<typeof dependencySchema>;

const stepSchema = z.looseObject({
  shell: z.string("only shell steps are known").max(SHELL_CHARS),
  params: words.default([]),
});

const configSchema = z.looseObject({
  name: appNameSchema.nullable().default(null),
  app_vsn: word.nullable().default(null),
  /** Majors are written as text or as numbers. */
  erlang: z
    .array(z.union([word, z.int()]))
    .max(ENTRIES)
    .default([]),
  with_source: z.boolean().default(true),
  prebuild: z.array(stepSchema).max(ENTRIES).default([]),
  parse_transforms: words.default([]),
  deps: z.array(dependencySchema).max(ENTRIES).default([]),
});

/** Of dependencies on branches, by name with or without namespace: `<branch>-<commit>`, as coon writes it. */
const locksSchema = z.record(z.string(), z.string());

export type ReadConfig = { config: PackageConfig; wants: Want[] };

/**
 * @param locks text of coon_locks.json or enot_locks.json; null where there is none
 * @throws RecipeFailure config_error, with the place
 */
export function readConfig(
  file: PackageConfig["file"],
  text: string,
  locks: string | null,
  remotes: Remotes,
): ReadConfig {
  const members = parseJson(file, text);
  const parsed = configSchema.safeParse(members);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const place = issue?.path.map(String).join(".") || "the whole";
    throw new RecipeFailure("config_error", `${file}: ${place}: ${issue?.message}`);
  }
  const { name, app_vsn, erlang, with_source, prebuild, parse_transforms, deps } = parsed.data;
  const locked = readLocks(locks);
  const wants = deps.map((dep) => wantOf(dep, locked, remotes));
  return {
    config: {
      file,
      members: members as Record<string, unknown>,
      name,
      app_vsn,
      erlang: erlang.map(String),
      with_source,
      prebuild: prebuild.map(({ shell, params }) => ({ shell, params })),
      parse_transforms,
      deps: wants.flatMap((want, at) => (deps[at]?.tag === undefined ? [] : followOf(want))),
    },
    wants,
  };
}

function wantOf(
  { name, url, tag, branch }: DependencyEntry,
  locked: ReadonlyMap<string, string>,
  remotes: Remotes,
): Want {
  const app = name.slice(name.lastIndexOf("/") + 1);
  if (url === undefined) {
    if (tag === undefined) return open(app, "has neither a url nor a tag");
    // coon asked Hex where such a package lies; ours is the one that Hex itself has.
    return hexWant(app, app, tag.replace(/^v(?=\d)/, ""));
  }
  if (tag !== undefined) return gitWant(app, url, tag, "tag", remotes);
  const want = gitWant(app, url, branch ?? null, "branch", remotes);
  if (want.kind !== "git") return want;
  const lock = [`${want.path.at(-2)}/${app}`, app, name]
    .map((key) => locked.get(key))
    .find(Boolean);
  const [, on, commit] = /^(.+)-([0-9a-f]+)$/.exec(lock ?? "") ?? [];
  // A lock of another branch is out of date.
  if (on !== branch || !commitSchema.safeParse(commit).success) return want;
  return { ...want, ref: commit ?? null, as: "commit" };
}

/** A package is called as its repository is, which is what a webhook calls it. */
function followOf(want: Want): Dependency[] {
  if (want.kind !== "git" || want.ref === null) return [];
  const { remote, path, ref } = want;
  const [namespace, name] = path.slice(-2) as [string, string];
  return [{ remote, path, namespace, name, ref }];
}

function readLocks(text: string | null): ReadonlyMap<string, string> {
  try {
    return new Map(Object.entries(locksSchema.parse(JSON.parse(text ?? "{}"))));
  } catch {
    return new Map(); // coon's own file, made by nobody's hand: as if it were not there
  }
}

function parseJson(file: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const why = error instanceof Error ? error.message : "it is no JSON";
    throw new RecipeFailure("config_error", `${file} is no JSON: ${why.slice(0, 200)}`);
  }
}
