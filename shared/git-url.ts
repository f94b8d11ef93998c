/** Clone URLs in the forms that git takes: https, http, git, ssh, `git@host:path`; with or without `.git`. */
import { goTargetSchema } from "./recipes/go.ts";

/** Where a repository lies: a git host as users name it; owner, groups and repository. */
export type Repository = { remote: string; path: string[] };

/** Characters of a clone URL. */
const URL_CHARS = 1_024;
/** `[scheme://][user@]host[:port]/path`; without a scheme it is https. */
const URL_FORM = /^(?:([a-z+]+):\/\/)?(?:([^@/]*)@)?([^@:/]+)(?::(\d{1,5}))?\/(.+)$/i;
/** `[user@]host:path`, as scp writes it. */
const SCP_FORM = /^(?:([^@:/]+)@)?([^@:/]+):([^/].*)$/;
/** By scheme, the port that needs no saying. */
const PORTS: Record<string, string> = {
  https: "443",
  http: "80",
  git: "9418",
  ssh: "22",
  "git+ssh": "22",
};

/**
 * The repository that a clone URL names, below the base URL of one of `remotes` (host and base) too. Whether its host
 * is one of them is not asked. `error` goes on "The clone URL …".
 */
export function parseGitUrl(
  url: string,
  remotes: Iterable<readonly [remote: string, base: string]>,
): Repository | { error: string } {
  const written = url.length <= URL_CHARS ? withoutGit(url) : "";
  for (const [remote, base] of remotes)
    if (written.startsWith(`${base}/`)) return withPath(remote, written.slice(base.length));
  const scp = SCP_FORM.exec(written);
  if (scp !== null) return withPath(scp[2] ?? "", scp[3] ?? "");
  const [, scheme = "https", user, host = "", port, path = ""] = URL_FORM.exec(written) ?? [];
  const usual = PORTS[scheme.toLowerCase()];
  if (host === "" || usual === undefined || (port ?? usual) !== usual)
    return { error: "is not one of a repository, such as https://github.com/owner/repo.git" };
  // Over ssh it takes a name to come in; anywhere else it is a credential.
  if (user !== undefined && (usual !== "22" || user.includes(":")))
    return { error: "holds a credential: leave it away" };
  return withPath(host, path);
}

/** A clone URL without what may be left away at its end. */
export function withoutGit(url: string): string {
  return url.replace(/\/+$/, "").replace(/\.git$/, "");
}

function withPath(host: string, text: string): Repository | { error: string } {
  const path = goTargetSchema.shape.path.safeParse(text.split("/").filter((part) => part !== ""));
  if (path.success) return { remote: host.toLowerCase(), path: path.data };
  return { error: "does not end in the owner and the name of a repository" };
}
