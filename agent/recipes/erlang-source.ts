/**
 * The sources of an Erlang package: its own checkout, what its files say, and all that it depends on, in the workspace
 * (spec erlang.md, "The build"). Containers with a network run git, curl and tar; nothing of any repository is run.
 */
import { MESSAGES } from "../../shared/log.ts";
import type { PackageAsked } from "../../shared/recipes/erlang.ts";
import { goGitPath } from "../../shared/recipes/go.ts";
import { firstFile } from "../archive.ts";
import { workspaceVolume } from "../docker/contracts.ts";
import {
  type Advice,
  fetchNetwork,
  gitEnvironment,
  gitSentence,
  publicNames,
  UNREACHABLE,
} from "../git.ts";
import {
  checkoutFolder,
  type Fetched,
  fetchSource,
  fullDisk,
  parseFacts,
  type Source,
  WORKSPACE,
} from "../workspace.ts";
import { type RecipeContext, RecipeFailure } from "./contracts.ts";
import type {
  ErlangSettings,
  FetchedDependency,
  FetchedPackage,
  PackageConfig,
  ResolvedRef,
} from "./erlang-contracts.ts";
import { Dependencies, type Fetchable } from "./erlang-deps.ts";
import {
  CONSULT_ENVIRONMENT,
  DEPENDENCIES_SCRIPT,
  DEPENDENCY_EXIT,
  FACTS_FILE,
  fetchImage,
  PACKAGE_SCRIPT,
} from "./erlang-fetch-script.ts";
import { mailAddress, type Project, readProject } from "./erlang-project.ts";
import { versionOf } from "./erlang-wants.ts";

/** Dependencies of dependencies of …: one container for each step. */
const ROUNDS = 16;
/** Bytes of what one round's container tells. */
const FACTS_BYTES = 2 * 1024 ** 2;
/** Where users know Hex to be. */
const HEX = "repo.hex.pm";
const HEX_ADVICE: Advice = [
  [/returned error: 40[34]/, "Hex, the package repository, has no such package or version."],
  [
    UNREACHABLE,
    "Hex, the package repository, could not be reached from the agent: try again later.",
  ],
];

/**
 * Fills the workspace volume. `known` is told the package's own settings before its dependencies are fetched.
 * @throws RecipeFailure no_such_version, clone_error, config_error, dependency_error; what `context.run` throws
 */
export async function fetchPackage(
  context: RecipeContext,
  settings: ErlangSettings,
  asked: PackageAsked,
  resolved: ResolvedRef,
  known: (config: PackageConfig | null) => Promise<void>,
): Promise<FetchedPackage> {
  const source: Source = {
    remote: asked.remote,
    base: settings.remotes[asked.remote] ?? "",
    path: goGitPath(asked),
    commit: resolved.commit,
    tag: resolved.kind === "tag" ? resolved.version : null,
    credentials: [],
  };
  const fetched = await fetchOwn(context, settings, source, resolved);
  const committer = mailAddress(fetched.facts.mail ?? "");
  if (asked.notify && committer !== null) await context.learn({ committer });
  const root = readProject(fetched.facts, "package", "the package", settings.remotes);
  await known(root.config);
  const folder = checkoutFolder(source);
  const dependencies =
    root.wants.length === 0 ? [] : await fetchAll(context, settings, folder, root);
  return {
    folder,
    time: fetched.time,
    system: root.system,
    config: root.config,
    dependencies,
    wants: root.wants,
  };
}

async function fetchOwn(
  context: RecipeContext,
  { images }: ErlangSettings,
  source: Source,
  { version, commit }: ResolvedRef,
): Promise<Fetched> {
  await context.say(MESSAGES.cloning);
  const fetched = await context
    .phase("fetch", () =>
      fetchSource(context, source, {
        image: fetchImage(images),
        script: PACKAGE_SCRIPT,
        env: CONSULT_ENVIRONMENT,
        mounts: [],
      }),
    )
    .catch(async (error: unknown) => {
      if (error instanceof RecipeFailure)
        await context.say(MESSAGES.cloneError(error.message), { level: "error" });
      throw error;
    });
  if (fetched.status !== 0)
    throw new RecipeFailure(
      "agent_error",
      `The package's files could not be read: ${fetched.tail.at(-1) ?? "nothing was said"}`,
    );
  await context.say(MESSAGES.cloned, { fields: { commit } });
  const warn = (msg: string) => context.say(msg, { level: "warning" });
  if (fetched.tag_moved) await warn(`The tag ${version} was moved meanwhile: ${commit} is built.`);
  if (fetched.lfs)
    await warn("The repository keeps files in Git LFS: the build sees pointers to them only.");
  return fetched;
}

/** Round by round: what is fetched says what else is needed. */
async function fetchAll(
  context: RecipeContext,
  settings: ErlangSettings,
  folder: string,
  root: Project,
): Promise<FetchedDependency[]> {
  await context.say("fetching dependencies...");
  const dependencies = new Dependencies();
  const projects = new Map<string, Project>();
  dependencies.add(null, root.wants);
  for (let round = 1; ; round++) {
    const wants = dependencies.next();
    if (wants.length === 0) break;
    if (round > ROUNDS)
      throw new RecipeFailure(
        "dependency_error",
        `Dependencies of dependencies go ${ROUNDS} deep and further.`,
      );
    const phase = `dependencies-${round}`;
    const facts = await context.phase(phase, () =>
      fetchRound(context, settings, phase, folder, wants),
    );
    for (const [at, want] of wants.entries()) {
      const { app } = want;
      const commit = facts[`${at}.commit`];
      await context.say(`fetched ${app} ${versionOf(want)}`, {
        fields: { app, ...(commit !== undefined && { commit }) },
      });
      const branch = facts[`${at}.branch`];
      if (branch !== undefined)
        await context.say(
          `${app} is ${branch} as it is now, ${commit}: a later build may get another. Name a tag or a commit.`,
          { level: "warning" },
        );
      const project = readProject(facts, String(at), app, settings.remotes);
      projects.set(app, project);
      dependencies.add(app, project.wants);
    }
  }
  const warnings = root.locked ? [] : dependencies.warnings();
  for (const warning of warnings) await context.say(warning, { level: "warning" });
  return dependencies.inOrder().map(({ app }) => {
    const project = projects.get(app);
    if (!project?.system)
      throw new RecipeFailure(
        "dependency_error",
        `Unknown build system in the dependency ${app}: it has no coonfig.json, erlang.mk or rebar.config.`,
      );
    const { system, config } = project;
    return { app, folder: `${folder}/deps/${app}`, system, config };
  });
}

/** Fetches these, in one container; what they say. */
async function fetchRound(
  context: RecipeContext,
  { images, remotes, hex }: ErlangSettings,
  phase: string,
  folder: string,
  wants: readonly Fetchable[],
): Promise<Record<string, string>> {
  const { owner, limits } = context;
  const names = new Set(wants.flatMap((want) => (want.kind === "git" ? [want.remote] : [])));
  const hosts = [...names].map((remote) => ({ remote, base: remotes[remote] ?? "" }));
  const network = fetchNetwork(
    ...hosts.map(({ base }) => base),
    ...(wants.some(({ kind }) => kind === "hex") ? [hex] : []),
  );
  context.rename(publicNames([...hosts, { remote: HEX, base: hex }]));
  const { exit, handle, tail } = await context.run({
    phase,
    image: fetchImage(images),
    command: ["sh", "-c", DEPENDENCIES_SCRIPT],
    env: {
      ...gitEnvironment(hosts, network),
      ...CONSULT_ENVIRONMENT,
      RAILHEAD_DEPS: `${folder}/deps`,
      RAILHEAD_HEX: hex,
      RAILHEAD_WANTED: wants.map((want, at) => wantLine(want, at, remotes)).join("\n"),
    },
    working_dir: WORKSPACE,
    mounts: [{ volume: workspaceVolume(owner), target: WORKSPACE, read_only: false }],
    network,
    limits,
    stdin: null,
  });
  const archive = await handle.get(FACTS_FILE, FACTS_BYTES);
  const facts = parseFacts(await firstFile(archive, FACTS_BYTES));
  if (exit.code === 0) return facts;
  throw failure(exit.code, tail, wants[Number(facts.failed)]);
}

function wantLine(want: Fetchable, at: number, remotes: ErlangSettings["remotes"]): string {
  const words =
    want.kind === "git"
      ? ["git", `${remotes[want.remote]}${goGitPath(want)}`, want.as, want.ref ?? "-"]
      : ["hex", want.package, want.version, want.sha256 ?? "-", want.checksum ?? "-"];
  return [at, want.app, ...words].join(" ");
}

function failure(status: number, tail: string[], want: Fetchable | undefined): RecipeFailure {
  const full = fullDisk(tail);
  if (full !== null) return full;
  const words = gitSentence(tail, want?.kind === "hex" ? HEX_ADVICE : undefined);
  if (want === undefined)
    return new RecipeFailure(
      "agent_error",
      `The dependencies could not be fetched (status ${status}): ${words}`,
    );
  const what = `The dependency ${want.app} ${versionOf(want)}`;
  const reasons: Record<number, string> = {
    [DEPENDENCY_EXIT.fetch]: `${what} could not be fetched: ${words}`,
    [DEPENDENCY_EXIT.no_such_ref]: `${what} is not in its repository: ${words}`,
    [DEPENDENCY_EXIT.checksum]: `${what} is not what its checksum says: what was fetched is not used.`,
    [DEPENDENCY_EXIT.archive]: `${what} is no Hex package that can be unpacked: ${words}`,
  };
  return new RecipeFailure(
    "dependency_error",
    reasons[status] ?? `${what} could not be fetched (status ${status}): ${words}`,
  );
}
