/** Git hosts that may be built from: the one syntax of the edge's and the agents' allow lists. */

export const DEFAULT_REMOTES = ["github.com", "gitlab.com", "codeberg.org", "bitbucket.org"];

const HOST = /^(?=.{3,128}$)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+$/;
/** Scheme, host and path of a URL without credential, query and fragment. */
const BASE = /^(https?):\/\/([a-z0-9.-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?((?:\/[A-Za-z0-9._~%-]*)*)$/i;
const LOOPBACK = /^(?:localhost|\[::1\]|127(?:\.\d{1,3}){3})$/i;

export type Remote = { host: string; base: string };

/** `host`, or `host=base-url` for a mirror, a private server or a test; `base` has no slash at its end. */
export function parseRemote(entry: string): Remote | { error: string } {
  const at = entry.indexOf("=");
  const host = (at === -1 ? entry : entry.slice(0, at)).toLowerCase();
  if (!HOST.test(host)) return { error: `names no git host such as git.example: "${entry}"` };
  const base = at === -1 ? `https://${host}` : entry.slice(at + 1);
  const match = BASE.exec(base);
  if (!match)
    return { error: `gives ${host} a base that is no plain http or https URL without credentials` };
  if (match[1]?.toLowerCase() === "http" && !isLoopback(base))
    return { error: `gives ${host} an http base: only a loopback address may use http` };
  return { host, base: base.replace(/\/+$/, "") };
}

/** Whether a remote's base URL is on the machine itself. */
export function isLoopback(base: string): boolean {
  return LOOPBACK.test(BASE.exec(base)?.[2] ?? "");
}
