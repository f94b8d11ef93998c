/**
 * The Worker's own hosts (docs/operating.md, "Web apps"): no app is ever asked on them, and no rule may name one. Whoever may
 * deploy would else receive what is meant for the API, its tokens included.
 */

type Settings = { RAILHEAD_HOSTS?: string };

const HOST = /^(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?$/i;
/** What only a machine itself reaches (RFC 6761 section 6.3): an app's even where nobody said which hosts are the Worker's. */
const BELOW_LOCALHOST = /.\.localhost$/;

/** RAILHEAD_HOSTS: hosts between blanks, each with a port where links to it need one. */
export function hostWords({ RAILHEAD_HOSTS = "" }: Settings): string[] {
  return RAILHEAD_HOSTS.split(/\s+/).filter((word) => word !== "");
}

/** In lower case, without port and the root's dot; null for what is no host. */
export function hostName(word: string): string | null {
  if (!HOST.test(word)) return null;
  return URL.parse(`http://${word}`)?.hostname.replace(/\.$/, "") ?? null;
}

/** Without RAILHEAD_HOSTS, or while it cannot be read (which config.ts tells), all but the machine's own are the Worker's. */
export function isOwnHost(env: Settings, host: string): boolean {
  const own = hostWords(env).map(hostName);
  const name = hostName(host);
  if (own.length === 0) return name === null || !BELOW_LOCALHOST.test(name);
  return own.includes(null) || own.includes(name);
}

/** Why no app may have a host, and what to do, without a sentence's end; null when one may. */
export function whyOwn(env: Settings, host: string): string | null {
  if (!isOwnHost(env, host)) return null;
  if (hostWords(env).length === 0)
    return `every host counts as this server's own, ${host} too, until its operator has set RAILHEAD_HOSTS (docs/operating.md, "Web apps")`;
  return `${host} is this server's own name, which no app may have: choose another host`;
}
