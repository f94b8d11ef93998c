/** What an Erlang project says that it depends on, in whichever file it says so. Pure. */
import { parseGitUrl } from "../../shared/git-url.ts";
import { appNameSchema, refSchema } from "../../shared/recipes/erlang.ts";

/** How git is to take a ref. `any`: a tag, else a branch, else a commit. */
export type RefKind = "tag" | "branch" | "commit" | "any";

/** A dependency by its OTP application's name, and where it is. */
export type Want = { app: string } & (
  | {
      kind: "git";
      remote: string;
      path: string[];
      /** Null for the default branch. */
      ref: string | null;
      as: RefKind;
    }
  | {
      kind: "hex";
      package: string;
      version: string;
      /** SHA-256 of the tarball, where a lock says it. */
      sha256: string | null;
      /** SHA-256 that Hex calls the inner checksum, where a lock says it. */
      checksum: string | null;
    }
  /** Not to be fetched as it is said: an error, unless somebody else says where it is. */
  | { kind: "open"; why: string }
);

/** Hex's own names of packages. */
const HEX_NAME = /^[a-z][a-z0-9_]{0,127}$/;
/** A whole version (semver.org), as Hex takes no other. */
const EXACT = /^(?:==\s*)?(\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?)$/;
/** Characters of somebody's words that a reason quotes. */
const QUOTE_CHARS = 80;

/** Base URL of each git host that may be fetched from. */
export type Remotes = Readonly<Record<string, string>>;

export function gitWant(
  app: string,
  url: string,
  ref: string | null,
  as: RefKind,
  remotes: Remotes,
): Want {
  if (!appNameSchema.safeParse(app).success) return open(app, "is no OTP application's name");
  const repository = parseGitUrl(url, Object.entries(remotes));
  if ("error" in repository) return open(app, `has a clone URL that ${repository.error}`);
  const { remote, path } = repository;
  if (!Object.hasOwn(remotes, remote))
    return open(
      app,
      `is at ${quote(remote)}, from which this agent does not build: its operator allows ${Object.keys(remotes).join(", ") || "no git host at all"}`,
    );
  if (ref !== null && !refSchema.safeParse(ref).success)
    return open(app, `is wanted at ${quote(ref)}, which is no tag, branch or commit`);
  return { app, kind: "git", remote, path, ref, as };
}

/** `said`: a version, or a range of them. */
export function hexWant(
  app: string,
  name: string,
  said: string,
  sums: { sha256: string | null; checksum: string | null } = { sha256: null, checksum: null },
): Want {
  if (!appNameSchema.safeParse(app).success) return open(app, "is no OTP application's name");
  if (!HEX_NAME.test(name)) return open(app, `names ${quote(name)}, which is no Hex package`);
  const version = EXACT.exec(said.trim())?.[1];
  if (version !== undefined && version.length <= QUOTE_CHARS)
    return { app, kind: "hex", package: name, version, ...sums };
  return open(
    app,
    said.trim() === ""
      ? "is wanted without a version: commit rebar.lock, or name the version"
      : `is wanted as ${quote(said)}, which is no exact version: commit rebar.lock, or name the version`,
  );
}

export function open(app: string, why: string): Want {
  return { app: quote(app), kind: "open", why };
}

/** Somebody's words on one line, not too many. */
export function quote(text: string): string {
  return text.replace(/[\p{C}\s]+/gu, " ").slice(0, QUOTE_CHARS);
}

/** Which version of it, for people. */
export function versionOf(want: Want): string {
  if (want.kind === "git") return want.ref ?? "the default branch";
  return want.kind === "hex" ? want.version : "another version";
}

/** Whether two say the same. */
export function isSame(a: Want, b: Want): boolean {
  if (a.kind === "git" && b.kind === "git")
    return a.ref === b.ref && a.remote === b.remote && a.path.join("/") === b.path.join("/");
  return a.kind === "hex" && b.kind === "hex" && a.package === b.package && a.version === b.version;
}
