/** From what a build left in its container to the package that coon's clients take (spec erlang.md). */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ARTIFACT_BYTES } from "../../shared/limits.ts";
import { artifactNameSchema } from "../../shared/protocol.ts";
import { appNameSchema, type PackageAsked } from "../../shared/recipes/erlang.ts";
import { type ArchiveFile, type ArchiveFolder, writeArchive } from "../archive.ts";
import type { RunHandle } from "../docker/contracts.ts";
import { type Collected, collectOutput, listed } from "./collect.ts";
import { type Made, RecipeFailure } from "./contracts.ts";
import { folders, locksFile } from "./erlang-compile.ts";
import type { FetchedPackage, PackageConfig, ResolvedRef } from "./erlang-contracts.ts";
import type { Want } from "./erlang-wants.ts";

/** Bytes of an `.app` file: a thousand modules take a tenth of it. */
const APP_FILE_BYTES = 1024 ** 2;
const APP_FILE = /^ebin\/([^/]+)\.app$/;
/** Its version, where it is written as a plain string. */
const VSN = /\{\s*vsn\s*,\s*"([^"\\]{1,128})"/;

export type Packed = { app: string; made: Made };

export type PackageOptions = {
  /** Folder on the agent's disk, the attempt's own. */
  folder: string;
  fetched: FetchedPackage;
  asked: PackageAsked;
  resolved: ResolvedRef;
  signal: AbortSignal;
};

/** @throws RecipeFailure artifact_too_large */
export function collect(
  handle: RunHandle,
  folder: string,
  signal: AbortSignal,
): Promise<Collected<null>> {
  return collectOutput(handle, {
    folder,
    head_bytes: 0,
    look: () => null,
    advice: "Have the build remove what does not belong into the package.",
    signal,
  });
}

/**
 * Writes the archive, named like its OTP application.
 * @throws RecipeFailure nothing_made, config_error, artifact_too_large
 */
export async function pack(
  { files }: Collected<null>,
  { folder, fetched, asked, resolved, signal }: PackageOptions,
): Promise<Packed> {
  const { config, time } = fetched;
  const tops = folders(config);
  const locks = locksFile(config);
  const own = files.filter(
    ({ name }) => name === locks || tops.some((top) => name.startsWith(`${top}/`)),
  );
  const { app, file: described } = application(own, config, asked);
  const settings = JSON.stringify(
    sorted(regenerated(app, await vsnOf(described), fetched, asked, resolved)),
    null,
    4,
  );
  const written = join(folder, "settings.json");
  await writeFile(written, ascii(settings), { mode: 0o600 });
  const entries: (ArchiveFile | ArchiveFolder)[] = [
    ...own,
    // coon's clients look for "c_src" among the members to know whether there is anything native.
    ...tops
      .filter((top) => own.some(({ name }) => name.startsWith(`${top}/`)))
      .map((top) => ({ name: `${top}/` })),
    {
      name: settingsFile(config),
      file: written,
      size: Buffer.byteLength(ascii(settings)),
      executable: false,
    },
  ];
  const file = join(folder, "package.tar.gz");
  const digest = await writeArchive(entries, file, time, signal);
  const name = `${app}${settingsFile(config) === "enot_config.json" ? ".ep" : ".cp"}`;
  if (digest.size > ARTIFACT_BYTES)
    throw new RecipeFailure("artifact_too_large", `${name} has more than ${ARTIFACT_BYTES} bytes.`);
  return { app, made: { name, file, ...digest, content_type: "application/gzip" } };
}

function settingsFile(config: PackageConfig | null): PackageConfig["file"] {
  return config?.file ?? "coonfig.json";
}

/** What the package is called: as its `.app` file is. */
function application(
  files: Collected<null>["files"],
  config: PackageConfig | null,
  asked: PackageAsked,
): { app: string; file: { file: string; size: number } } {
  const found = files.flatMap((file) => {
    const app = APP_FILE.exec(file.name)?.[1];
    return app === undefined ? [] : [{ app, file }];
  });
  const [only] = found;
  if (only === undefined)
    throw new RecipeFailure("nothing_made", "The build left no application: no ebin/*.app.");
  const named = found.find(({ app }) => app === config?.name || app === asked.name);
  const chosen = found.length === 1 ? only : named;
  if (chosen === undefined)
    throw new RecipeFailure(
      "config_error",
      `There is more than one application: ${listed(found.map(({ app }) => app))}. Name the package's in the settings.`,
    );
  if (
    !appNameSchema.safeParse(chosen.app).success ||
    !artifactNameSchema.safeParse(chosen.app).success
  )
    throw new RecipeFailure(
      "config_error",
      `${JSON.stringify(chosen.app.slice(0, 100))} cannot be an application's name: it takes small letters first, then letters, digits and underscores.`,
    );
  return chosen;
}

async function vsnOf({ file, size }: { file: string; size: number }): Promise<string | null> {
  if (size > APP_FILE_BYTES) return null;
  return VSN.exec(await readFile(file, "utf8"))?.[1] ?? null;
}

/** coon's settings as its own `package` command writes them anew: defaults, what the author said, what was found out. */
export function regenerated(
  app: string,
  vsn: string | null,
  { config, wants }: Pick<FetchedPackage, "config" | "wants">,
  { remote, path, namespace, name }: PackageAsked,
  { version, kind }: ResolvedRef,
): Record<string, unknown> {
  const app_vsn = config?.app_vsn ?? vsn;
  return {
    auto_build_order: true,
    deps: wants.flatMap(dependencyOf),
    disable_prebuild: false,
    erlang: [],
    override: false,
    with_source: true,
    ...config?.members,
    name: app,
    fullname: `${namespace}/${name}`,
    url: urlOf({ remote, path }),
    ...(app_vsn !== null && { app_vsn }),
    ...(kind !== "commit" && { [kind]: version }),
  };
}

/** As coon names it: what is no tag is a branch, and what has no URL is on Hex. */
function dependencyOf(want: Want): Record<string, string>[] {
  if (want.kind === "open") return [];
  const name = want.app;
  if (want.kind === "hex") return [{ name, tag: want.version }];
  const ref = want.ref === null ? {} : { [want.as === "tag" ? "tag" : "branch"]: want.ref };
  return [{ name, url: urlOf(want), ...ref }];
}

function urlOf({ remote, path }: Pick<PackageAsked, "remote" | "path">): string {
  return `https://${[remote, ...path].join("/")}`;
}

/** Members of objects by name, at every depth. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(members.map(([name, member]) => [name, sorted(member)]));
}

/** As Python's json writes it. */
function ascii(json: string): string {
  return json.replace(
    /[\u007f-\uffff]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
