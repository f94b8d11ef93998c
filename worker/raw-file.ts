/** One file of a commit, from the address at which a git host serves it to everybody. */
import { type Bounds, fetchHost, GitHostFailure, readBody } from "./host-fetch.ts";

/** Git hosts by the software that they run. */
export const FORGES = ["github", "gitlab", "gitea"] as const;
export type Forge = (typeof FORGES)[number];

export type RawFile =
  | { kind: "ok"; text: string }
  | { kind: "absent" }
  /** `why` completes "the git host … ". */
  | { kind: "unreachable"; why: string };

const BOUNDS: Bounds = { ms: 10_000, bytes: 64 * 1024, of: "settings" };
/** Where github.com sends those who ask it for a file. */
const GITHUB = "https://github.com";
const GITHUB_RAW = "https://raw.githubusercontent.com";

const FOLDER: Record<Forge, string> = { github: "raw", gitlab: "-/raw", gitea: "raw/commit" };

/** Where below a repository's address the file lies. */
export function rawFilePath(forge: Forge, commit: string, file: string): string {
  return `${FOLDER[forge]}/${commit}/${file}`;
}

/** Reads `file`, at the top of the repository, as it is in `commit`. No credential is sent. */
export async function readRawFile(
  forge: Forge,
  base: string,
  path: readonly string[],
  commit: string,
  file: string,
): Promise<RawFile> {
  const url = new URL(`${base}/${path.join("/")}/${rawFilePath(forge, commit, file)}`);
  const bounds = url.origin === GITHUB ? { ...BOUNDS, origins: [GITHUB_RAW] } : BOUNDS;
  try {
    const init = { headers: { "user-agent": "railhead", accept: "text/plain, */*" } };
    const response = await fetchHost(url, init, bounds);
    const body = await readBody(response, bounds);
    if (response.status === 404) return { kind: "absent" };
    if (response.status !== 200)
      return { kind: "unreachable", why: `it answered with status ${response.status}` };
    return { kind: "ok", text: new TextDecoder().decode(body) };
  } catch (error) {
    if (error instanceof GitHostFailure) return { kind: "unreachable", why: error.message };
    throw error;
  }
}
