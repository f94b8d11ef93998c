/**
 * The rules that make `outbound` mean outbound: pure text for iptables-restore. Forwarded packets may go to public
 * addresses and to the host's name servers, packets for the host itself to none of its ports but those.
 */
import { isIPv4 } from "node:net";

/** Not public (RFC 6890 and its kin): this network, private, shared, loopback, link-local and metadata, benchmarks, multicast, reserved. */
const PRIVATE = [
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.168.0.0/16",
  "198.18.0.0/15",
  "224.0.0.0/4",
  "240.0.0.0/4",
];

/**
 * Refused, not dropped: a build learns at once, instead of hanging until its deadline. TCP by a reset, since the kernel
 * sends only so many ICMP messages.
 */
const REFUSE = ["-p tcp -j REJECT --reject-with tcp-reset", "-j REJECT"];

export type Chains = { forward: string; input: string };

/** Names of the chains of the bridge: iptables takes 28 characters. */
export function chainsOf(bridge: string): Chains {
  return { forward: `RAILHEAD-FWD-${bridge}`, input: `RAILHEAD-IN-${bridge}` };
}

/** True for `a.b.c.d` and `a.b.c.d/n`. */
export function isCidr(text: string): boolean {
  const [address = "", bits, ...more] = text.split("/");
  const width = bits === undefined ? 32 : Number(bits);
  return (
    more.length === 0 &&
    isIPv4(address) &&
    /^\d{1,2}$/.test(bits ?? "32") &&
    Number.isInteger(width) &&
    width <= 32
  );
}

/**
 * IPv4 name servers in a resolv.conf. Loopback ones are left out: the engine asks those itself, from the host.
 *
 * @param text of resolv.conf
 */
export function nameServers(text: string): string[] {
  const found = text.matchAll(/^\s*nameserver\s+(\S+)/gm);
  const addresses = [...found].map((match) => match[1] ?? "");
  return [...new Set(addresses)].filter(
    (address) => isIPv4(address) && !address.startsWith("127."),
  );
}

/**
 * @param chains to fill; whatever they held goes
 * @param servers name servers that containers may ask
 * @param allowed addresses (CIDR) that the operator lets containers reach all the same
 * @returns input for `iptables-restore --noflush`, which replaces both chains in one step
 */
export function restoreScript(chains: Chains, servers: string[], allowed: string[]): string {
  const exceptions = (chain: string) => [
    ...allowed.map((address) => `-A ${chain} -d ${address} -j RETURN`),
    ...servers.flatMap((server) =>
      ["udp", "tcp"].map(
        (protocol) => `-A ${chain} -d ${server} -p ${protocol} --dport 53 -j RETURN`,
      ),
    ),
  ];
  return [
    "*filter",
    `:${chains.forward} - [0:0]`,
    `:${chains.input} - [0:0]`,
    ...exceptions(chains.forward),
    ...PRIVATE.flatMap((range) => REFUSE.map((rule) => `-A ${chains.forward} -d ${range} ${rule}`)),
    // Answers to what the host itself asked.
    `-A ${chains.input} -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN`,
    ...exceptions(chains.input),
    ...REFUSE.map((rule) => `-A ${chains.input} ${rule}`),
    "COMMIT",
    "",
  ].join("\n");
}

/**
 * Whether our jump is where it must be: before every rule of others, which might accept what we refuse.
 *
 * @param listing what `iptables -S` printed
 * @param chain where the jump is
 * @param jump the rest of the rule, as `-S` prints it
 */
export function isAhead(listing: string, chain: string, jump: string): boolean {
  const rules = listing.split("\n").filter((line) => line.startsWith(`-A ${chain} `));
  for (const rule of rules) {
    if (rule === `-A ${chain} ${jump}`) return true;
    if (!rule.includes(" -j RAILHEAD-")) return false;
  }
  return false;
}
