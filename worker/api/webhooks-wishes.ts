/** What is to be built of a new tag: what the repository itself lists, else what was built of its last version. */
import { Problem } from "../../shared/problem.ts";
import { parseRailheadFile, RAILHEAD_FILE, type Wish } from "../../shared/railhead-file.ts";
import { CATALOG_NAME } from "../core/contracts.ts";
import { type Forge, readRawFile } from "../raw-file.ts";
import { unreachable } from "../resolve.ts";
import { lastWishes } from "./webhooks-last.ts";

export type Tagged = {
  remote: string;
  /** Base URL of the remote. */
  base: string;
  path: string[];
  tag: string;
  commit: string;
};

/** Builds of a repository that are looked through for its last version. */
const LOOKED_THROUGH = 200;

/** Throws Problem `bad_railhead_file` and `remote_unreachable`. */
export async function wishesOf(
  env: Env,
  forge: Forge,
  { remote, base, path, tag, commit }: Tagged,
): Promise<Wish[]> {
  const file = await readRawFile(forge, base, path, commit, RAILHEAD_FILE);
  if (file.kind === "unreachable") throw unreachable(remote, file.why);
  if (file.kind === "absent") {
    const repository = [remote, ...path].join("/");
    const query = { repository, state: "succeeded", limit: LOOKED_THROUGH } as const;
    const page = await env.CATALOG.getByName(CATALOG_NAME).list(query);
    return lastWishes(page?.builds ?? [], tag);
  }
  const parsed = parseRailheadFile(file.text);
  if ("wishes" in parsed) return parsed.wishes;
  throw new Problem("bad_railhead_file", `${RAILHEAD_FILE} at ${tag} is refused: ${parsed.error}.`);
}
