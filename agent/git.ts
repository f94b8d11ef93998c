/** How git runs in containers with a network, and what its words mean to users. */
import { isLoopback } from "../shared/remotes.ts";
import type { Network } from "./docker/contracts.ts";
import { sentence } from "./text.ts";

/** The name of a git host as users write it, and where this agent's operator says that it is. */
export type GitHost = { remote: string; base: string };

/** Characters of git's words that a reason quotes. */
const QUOTE_CHARS = 400;

/** The fetch container's network: the host's own only to reach a loopback base that the operator named. */
export function fetchNetwork(...bases: string[]): Network {
  return bases.some(isLoopback) ? { kind: "host" } : { kind: "outbound" };
}

/** Settings of every git of a container that fetches from these hosts; its script writes $GIT_CONFIG_GLOBAL. No secrets. */
export function gitEnvironment(
  hosts: readonly GitHost[],
  network: Network,
): Record<string, string> {
  return {
    LC_ALL: "C",
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_CONFIG_GLOBAL: "/tmp/gitconfig",
    GIT_TERMINAL_PROMPT: "0",
    GIT_ALLOW_PROTOCOL: "https:http",
    GIT_LFS_SKIP_SMUDGE: "1",
    RAILHEAD_GITCONFIG: gitConfig(hosts, network),
  };
}

/** For every git that runs in the container, submodules' and `go`'s included. */
function gitConfig(hosts: readonly GitHost[], network: Network): string {
  const lines = [
    "[protocol]",
    "version = 2",
    "[http]",
    // git would send the credential on to where it is sent.
    "followRedirects = false",
    // Bytes a second, and seconds below that, after which a transfer counts as dead.
    "lowSpeedLimit = 1000",
    "lowSpeedTime = 60",
    "[core]",
    "hooksPath = /dev/null",
    "[advice]",
    "detachedHead = false",
    "[gc]",
    "auto = 0",
  ];
  for (const { remote, base } of hosts)
    if (base !== `https://${remote}`)
      lines.push(`[url "${base}/"]`, `insteadOf = https://${remote}/`);
  // On the host's network, a submodule's address must not reach other services of the host.
  if (network.kind === "host") {
    lines.push("[http]", "proxy = http://127.0.0.1:1");
    for (const { base } of hosts) lines.push(`[http "${base}/"]`, 'proxy = ""');
  }
  return `${lines.join("\n")}\n`;
}

/**
 * What users are shown in place of where the operator says that hosts are: base URLs, and how curl and Go name the
 * machine of one.
 */
export function publicNames(hosts: readonly GitHost[]): Map<string, string> {
  const names = new Map<string, string>();
  for (const { remote, base } of hosts) {
    if (base === `https://${remote}`) continue;
    const { protocol, hostname, port } = new URL(base);
    names.set(base, `https://${remote}`);
    names.set(`${hostname} port ${port || (protocol === "http:" ? 80 : 443)}`, remote);
    names.set(`host: ${hostname}`, `host: ${remote}`);
    if (port !== "") names.set(`${hostname}:${port}`, remote);
  }
  return names;
}

/** What to do about words like these. */
export type Advice = readonly (readonly [RegExp, string])[];

/** How git and curl say that a host does not answer, or not as it should. */
export const UNREACHABLE =
  /Could not resolve|Failed to connect|timed out|Connection re|returned error: 5\d\d/i;

const ADVICE: Advice = [
  [
    /Authentication failed|could not read Username|returned error: 40[13]/,
    "Check that the token may read the repository and is still valid.",
  ],
  [/returned error: 30\d/, "The git host redirects: ask for the repository by its present name."],
  [/not found|returned error: 404/i, "Check the repository's name."],
  [UNREACHABLE, "The git host could not be reached from the agent: try again later."],
];

/** Of what a git printed last, why it failed. */
export function gitWords(tail: readonly string[]): string {
  const said = tail.filter((line) => /^(?:fatal|error|remote|curl): /.test(line));
  return (said.at(-1) ?? tail.at(-1) ?? "git said nothing").slice(0, QUOTE_CHARS);
}

/** The same, and what to do next. */
export function gitSentence(tail: readonly string[], advice = ADVICE): string {
  const words = gitWords(tail);
  const fitting = advice.find(([pattern]) => pattern.test(words))?.[1];
  return fitting ? `${sentence(words)} ${fitting}` : sentence(words);
}
