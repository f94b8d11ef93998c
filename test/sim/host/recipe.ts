/**
 * The recipe of the simulation: two containers, one or two files whose bytes tell whose they are. As `erlang`, it makes
 * packages that lead to others.
 */
import { createHash } from "node:crypto";
import { text } from "node:stream/consumers";
import { workspaceVolume } from "../../../agent/docker/contracts.ts";
import { ownerLabels } from "../../../agent/docker/labels.ts";
import type { Disk } from "../../../agent/ports.ts";
import {
  type Made,
  type Recipe,
  type RecipeContext,
  RecipeFailure,
} from "../../../agent/recipes/contracts.ts";
import type { ErlangTarget, Follow } from "../../../shared/recipes/erlang.ts";
import { goRepository } from "../../../shared/recipes/go.ts";
import { IMAGE } from "./engine.ts";

const WORKSPACE = "/build";
/** Bytes of a file that is more than its first line. */
const PADDING_BYTES = 3_000;

/** Packages that a chain of dependencies goes on for. */
const DEPENDENCIES = 2;

/** @param disk that of the process: what it wrote is there for its successor */
export function simRecipe(name: "go" | "erlang", disk: Disk): Recipe {
  return {
    name,
    images: () => [IMAGE],
    refuses: (target) =>
      target.recipe === "go" && target.remote === "refused.example" ? "not from there" : null,
    make: (context) => make(context, disk),
  };
}

async function make(context: RecipeContext, disk: Disk) {
  const { docker, owner, target, limits } = context;
  const volume = workspaceVolume(owner);
  const spec = {
    image: IMAGE,
    env: {},
    working_dir: WORKSPACE,
    mounts: [{ volume, target: WORKSPACE, read_only: false }],
    limits,
  };
  await context.say("cloning");
  const fetched = await context.phase("fetch", async () => {
    await docker.createVolume({ name: volume, labels: ownerLabels(owner), bytes: null });
    const stdin = context.credentials.map((credential) => `${credential}\n`).join("");
    const fetch = { phase: "fetch", command: ["fetch"], network: { kind: "outbound" as const } };
    const { exit } = await context.run({ ...spec, ...fetch, stdin });
    return exit.code;
  });
  if (fetched !== 0) throw new RecipeFailure("clone_error", "The repository cannot be cloned.");
  if (target.recipe === "erlang") await learn(context, target);
  await context.say("building");
  const build = { phase: "build", command: ["build"], network: { kind: "none" as const } };
  const { exit, handle, tail } = await context.run({ ...spec, ...build, stdin: null });
  if (exit.code !== 0) throw new RecipeFailure("compile_error", tail.at(-1) ?? "It said nothing.");
  const made = await context.phase("archive", async () => {
    const bytes = await text(await handle.get(`${WORKSPACE}/out`, 1_000_000));
    const names = Number.parseInt(owner.build.slice(0, 2), 16) % 3 === 0 ? ["a", "b"] : ["a"];
    const files: Made[] = [];
    for (const name of names) files.push(await write(context, disk, name, `${name} ${bytes}`));
    await context.say("archived");
    return files;
  });
  const repositories =
    context.credentials.length > 0 && target.recipe === "go" ? [goRepository(target)] : [];
  return { made, repositories };
}

async function learn(context: RecipeContext, { asked, erl }: ErlangTarget): Promise<void> {
  if (asked.kind !== "package") return;
  const { remote, path, namespace, name, depth } = asked;
  const version = "v1.0.0";
  const same = { remote, path, namespace, name, ref: version };
  const next = { ...same, path: [...path, "dependency"], name: `${name}-dependency` };
  const follow: Follow[] = [];
  if (erl === null) follow.push({ ...same, erl: "25", why: "version" });
  if (depth < DEPENDENCIES) follow.push({ ...next, erl: "27", why: "dependency" });
  const facts = { version, commit: "c".repeat(40), erl_version: erl ?? "27", app: null };
  await context.learn({ package: facts, follow });
}

async function write(
  { folder }: RecipeContext,
  disk: Disk,
  name: string,
  content: string,
): Promise<Made> {
  const bytes = Buffer.from(content.padEnd(PADDING_BYTES, "."));
  const path = `${folder}/${name}`;
  const file = disk.open(path);
  // A predecessor may have left a part of it.
  file.truncate(0);
  file.append(bytes);
  await file.sync();
  file.close();
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  return {
    name: `${name}.bin`,
    file: path,
    size: bytes.length,
    sha256,
    content_type: "application/octet-stream",
  };
}
