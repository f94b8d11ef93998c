/** What a ref of a package's repository means now (spec erlang.md): a tag, else a branch, else a whole commit. */
import { commitSchema } from "../../shared/hashes.ts";
import { type PackageAsked, refSchema } from "../../shared/recipes/erlang.ts";
import { goGitPath } from "../../shared/recipes/go.ts";
import { exactTag, latestTag, nearestTags, type Ref } from "../../shared/versions.ts";
import { firstFile } from "../archive.ts";
import { DockerError, workspaceVolume } from "../docker/contracts.ts";
import { ownerLabels } from "../docker/labels.ts";
import { fetchNetwork, gitEnvironment, gitSentence, publicNames } from "../git.ts";
import { WORKSPACE } from "../workspace.ts";
import { type RecipeContext, RecipeFailure } from "./contracts.ts";
import type { ErlangSettings, ResolvedRef } from "./erlang-contracts.ts";
import { fetchImage } from "./erlang-fetch-script.ts";

/** Bytes of a repository's list of references: some hundred thousand of them. */
const REFS_BYTES = 16 * 1024 ** 2;
const REFS_FILE = `${WORKSPACE}/meta/refs`;
const TAGS = "refs/tags/";
const HEADS = "refs/heads/";

const SCRIPT = `set -u
umask 022
mkdir -p ${WORKSPACE}/meta || exit 70
printf '%s' "$RAILHEAD_GITCONFIG" >"$GIT_CONFIG_GLOBAL"
git ls-remote -q --symref -- "$RAILHEAD_URL" HEAD '${TAGS}*' '${HEADS}*' >${REFS_FILE}
`;

/**
 * Asks the repository.
 * @throws RecipeFailure no_such_version, clone_error; what `context.run` throws
 */
export function resolveRef(
  context: RecipeContext,
  settings: ErlangSettings,
  asked: PackageAsked,
): Promise<ResolvedRef> {
  return context.phase("resolve", async () => meaning(await list(context, settings, asked), asked));
}

async function list(
  context: RecipeContext,
  { images, remotes }: ErlangSettings,
  asked: PackageAsked,
): Promise<string> {
  const { docker, owner, limits } = context;
  const host = { remote: asked.remote, base: remotes[asked.remote] ?? "" };
  const network = fetchNetwork(host.base);
  const volume = workspaceVolume(owner);
  await docker.createVolume({
    name: volume,
    labels: ownerLabels(owner),
    bytes: limits.disk_bytes,
  });
  context.rename(publicNames([host]));
  const { exit, handle, tail } = await context.run({
    phase: "resolve",
    image: fetchImage(images),
    command: ["sh", "-c", SCRIPT],
    env: { ...gitEnvironment([host], network), RAILHEAD_URL: `${host.base}${goGitPath(asked)}` },
    working_dir: WORKSPACE,
    mounts: [{ volume, target: WORKSPACE, read_only: false }],
    network,
    limits,
    stdin: null,
  });
  if (exit.code !== 0) throw new RecipeFailure("clone_error", gitSentence(tail));
  try {
    const refs = await firstFile(await handle.get(REFS_FILE, REFS_BYTES), REFS_BYTES);
    return refs.toString("utf8");
  } catch (error) {
    if (!(error instanceof DockerError) || error.kind !== "invalid") throw error;
    throw new RecipeFailure(
      "clone_error",
      "The repository has more tags and branches than can be looked at.",
    );
  }
}

/** What the ref means, given what `git ls-remote --symref` printed. Pure. */
export function meaning(listing: string, { ref }: Pick<PackageAsked, "ref">): ResolvedRef {
  const { tags, heads, main } = parseRefs(listing);
  if (ref === null) {
    const newest = latestTag(tags);
    if (newest !== null) return { ...newest, kind: "tag" };
    const branch = heads.find((head) => head.ref === main);
    if (branch !== undefined) return asBranch(branch);
    throw new RecipeFailure(
      "no_such_version",
      "The repository has no tag that is a version, and no default branch: ask for a ref.",
    );
  }
  const tag = exactTag(ref, tags);
  if (tag !== null) return { ...tag, kind: "tag" };
  const head = heads.find((one) => one.ref === `${HEADS}${ref}`);
  if (head !== undefined) return asBranch(head);
  if (commitSchema.safeParse(ref).success) return { version: ref, commit: ref, kind: "commit" };
  const near = nearestTags(ref, tags);
  throw new RecipeFailure(
    "no_such_version",
    `The repository has no tag or branch ${ref}. ${
      near.length > 0 ? `There are ${near.join(", ")}.` : "It has no tags at all."
    }`,
  );
}

function asBranch({ ref, oid }: Ref): ResolvedRef {
  return { version: ref.slice(HEADS.length), commit: oid, kind: "branch" };
}

/** References whose names a package's version may be; `main` is the one that HEAD stands for. */
function parseRefs(listing: string): { tags: Ref[]; heads: Ref[]; main: string | null } {
  const found = new Map<string, Ref>();
  let main: string | null = null;
  for (const line of listing.split("\n")) {
    const [oid = "", ref = ""] = line.split("\t");
    if (ref === "HEAD" && oid.startsWith("ref: ")) main = oid.slice("ref: ".length);
    const name = ref.replace(/\^\{\}$/, "");
    const short = name.replace(/^refs\/(?:tags|heads)\//, "");
    if (
      short === name ||
      !commitSchema.safeParse(oid).success ||
      !refSchema.safeParse(short).success
    )
      continue;
    const known = found.get(name);
    if (name === ref) found.set(name, { ref, oid, peeled: known?.peeled });
    else if (known !== undefined) known.peeled = oid;
  }
  const refs = [...found.values()];
  return {
    tags: refs.filter(({ ref }) => ref.startsWith(TAGS)),
    heads: refs.filter(({ ref }) => ref.startsWith(HEADS)),
    main,
  };
}
