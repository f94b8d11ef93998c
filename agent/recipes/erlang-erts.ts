/** The runtime system of an OTP release, as the builder image has it: what releases made elsewhere are put on. */
import { join } from "node:path";
import { writeArchive } from "../archive.ts";
import { workspaceVolume } from "../docker/contracts.ts";
import { ownerLabels } from "../docker/labels.ts";
import { OUTPUT, WORKSPACE } from "../workspace.ts";
import { collectOutput } from "./collect.ts";
import { type Made, type RecipeContext, RecipeFailure } from "./contracts.ts";

/** Runs no code but the image's own. Links in it are resolved: the image is the operator's. */
const ERTS_SCRIPT = `
root=$(erl -noshell -eval 'io:format("~s", [code:root_dir()]), halt().') || exit
rm -rf ${OUTPUT} && mkdir ${OUTPUT} && cp -rL -- "$root"/erts-* ${OUTPUT}
`;
/** An image has no commit whose time its files could have. */
const NO_TIME = 0;

/** @throws RecipeFailure agent_error when the image has none */
export async function makeErts(context: RecipeContext, image: string): Promise<Made> {
  const { docker, owner, limits, folder, signal } = context;
  const volume = workspaceVolume(owner);
  await docker.createVolume({
    name: volume,
    labels: ownerLabels(owner),
    bytes: limits.disk_bytes,
  });
  const { exit, handle, tail } = await context.run({
    phase: "erts",
    image,
    command: ["sh", "-c", ERTS_SCRIPT],
    env: {},
    working_dir: "/",
    mounts: [{ volume, target: WORKSPACE, read_only: false }],
    network: { kind: "none" },
    limits,
    stdin: null,
  });
  return context.phase("erts-archive", async () => {
    const { files } = await collectOutput(handle, {
      folder: join(folder, "erts-output"),
      head_bytes: 0,
      look: () => null,
      advice: "Let the builder image have less in it.",
      signal,
    });
    const name = files[0]?.name.split("/")[0];
    if (exit.code !== 0 || name === undefined)
      throw new RecipeFailure(
        "agent_error",
        `The builder image ${image} gave no runtime system: ${tail.at(-1) ?? "it said nothing"}`,
      );
    const file = join(folder, "erts.tar.gz");
    const digest = await writeArchive(files, file, NO_TIME, signal);
    return { name: `${name}.tar.gz`, file, ...digest, content_type: "application/gzip" };
  });
}
