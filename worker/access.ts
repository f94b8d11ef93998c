/** Who may read a private build: whoever can read every repository it was made from, now (protocol rule 17). */
import { readConfig } from "./config.ts";
import { probe } from "./git.ts";
import { unreachable } from "./resolve.ts";
import { hmac } from "./secrets.ts";

/** Milliseconds for which a git host's yes or no is kept. */
const KEPT_MS = 60_000;
/** Answers kept; the least recently used one goes first. */
const KEPT_ANSWERS = 2_000;

/** By HMAC of credential and repository, so that no token stays in memory as a key. */
const answers = new Map<string, { readable: boolean; until: number }>();

/**
 * The first of `credentials` with which every repository (`remote/owner/repo`) can be read; null when
 * there is none. They belong to `remote`: another host is asked without. Throws Problem `remote_unreachable`.
 */
export async function canRead(
  env: Env,
  remote: string,
  repositories: readonly string[],
  credentials: readonly string[],
): Promise<string | null> {
  for (const credential of credentials) {
    if (await readsAll(env, remote, repositories, credential)) return credential;
  }
  return null;
}

async function readsAll(
  env: Env,
  remote: string,
  repositories: readonly string[],
  credential: string,
): Promise<boolean> {
  for (const repository of repositories)
    if (!(await readable(env, remote, repository, credential))) return false;
  return repositories.length > 0;
}

async function readable(
  env: Env,
  remote: string,
  repository: string,
  credential: string,
): Promise<boolean> {
  const host = repository.slice(0, repository.indexOf("/"));
  const base = readConfig(env).remotes.get(host);
  if (base === undefined) return false;
  const sent = host === remote ? credential : null;
  const key = await hmac(env, "access", `${sent ?? ""}\n${repository}`);
  const now = Date.now();
  const known = answers.get(key);
  answers.delete(key);
  if (known !== undefined && known.until > now) {
    answers.set(key, known);
    return known.readable;
  }
  const answer = await probe(`${base}${repository.slice(host.length)}.git`, sent);
  if (answer.kind === "unreachable") throw unreachable(host, answer.why);
  answers.set(key, { readable: answer.kind === "ok", until: now + KEPT_MS });
  for (const oldest of answers.keys()) {
    if (answers.size <= KEPT_ANSWERS) break;
    answers.delete(oldest);
  }
  return answer.kind === "ok";
}
