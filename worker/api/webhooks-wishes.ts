/** What is to be built of a new tag: what the repository itself lists, else what was built of its last version. */
import { Problem } from "../../shared/problem.ts";
import { parseRailheadFile, RAILHEAD_FILE, type Wish } from "../../shared/railhead-file.ts";
import { CATALOG_NAME } from "../core/contracts.ts";
import { type Forge, rawFilePath, readRawFile } from "../raw-file.ts";
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

/** `from` says, as the end of a sentence, what they were read from or why there may be none. */
export type Wishes = { wishes: Wish[]; from: string };

/** Throws Problem `bad_railhead_file` and `remote_unreachable`. */
export async function wishesOf(
  env: Env,
  forge: Forge,
  { remote, base, path, tag, commit }: Tagged,
): Promise<Wishes> {
  const file = await readRawFile(forge, base, path, commit, RAILHEAD_FILE);
  if (file.kind === "unreachable") throw unreachable(remote, file.why);
  if (file.kind === "absent") {
    const repository = [remote, ...path].join("/");
    const query = { repository, state: "succeeded", limit: LOOKED_THROUGH } as const;
    const page = await env.CATALOG.getByName(CATALOG_NAME).list(query);
    const url = `https://${repository}/${rawFilePath(forge, commit, RAILHEAD_FILE)}`;
    return {
      wishes: lastWishes(page?.builds ?? [], tag),
      from: `no ${RAILHEAD_FILE} was found at ${url}, and nothing was built of an earlier version`,
    };
  }
  const parsed = parseRailheadFile(file.text);
  if ("wishes" in parsed)
    return { wishes: parsed.wishes, from: `${RAILHEAD_FILE} at ${tag} lists nothing` };
  throw new Problem("bad_railhead_file", `${RAILHEAD_FILE} at ${tag} is refused: ${parsed.error}.`);
}
