/** The Worker's own host names: no web app is ever asked on them, and no rule may name one (spec conventions.md). */

/** Of the local stack. */
const LOCAL = ["127.0.0.1", "localhost", "[::1]"];

/** RAILHEAD_HOSTS, words between blanks; without it, what only a machine itself reaches. */
export function ownHosts(env: { RAILHEAD_HOSTS?: string }): string[] {
  const words = (env.RAILHEAD_HOSTS ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  return words.length > 0 ? words : LOCAL;
}

export function isOwnHost(env: { RAILHEAD_HOSTS?: string }, host: string): boolean {
  return ownHosts(env).includes(host.toLowerCase());
}
