/**
 * The network of containers that may go out: a bridge of this agent's own, without traffic between its containers,
 * behind firewall rules. Where the rules cannot be set there is no such network, and its containers get none.
 */
import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { DockerError } from "./contracts.ts";
import type { Engine } from "./engine.ts";
import { isKind } from "./errors.ts";
import { type Chains, chainsOf, isAhead, isCidr, nameServers, restoreScript } from "./firewall.ts";
import { LABEL } from "./labels.ts";
import { allowed, haveTools, isRoot, tool } from "./tools.ts";

/** Characters of the agent's hash in the bridge's name: the kernel takes 15 in all. */
const BRIDGE_HASH_CHARS = 11;
/** Where the engine takes its containers' name servers from; the second where the first names a local resolver. */
const RESOLVERS = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];
/** Without it packets between two ports of one bridge never meet the firewall. */
const BRIDGE_FILTER = "/proc/sys/net/bridge/bridge-nf-call-iptables";

export class OutboundNetwork {
  readonly #engine: Engine;
  readonly #agent: string;
  readonly #name: string;
  readonly #bridge: string;
  readonly #chains: Chains;
  readonly #allowed: string[];
  /** Found able once. */
  #able = false;
  #settling: Promise<string | null> | null = null;

  /** @param allowedAddresses CIDRs that containers may reach although they are private or the host's */
  constructor(engine: Engine, agent: string, allowedAddresses: string[]) {
    const wrong = allowedAddresses.find((address) => !isCidr(address));
    if (wrong !== undefined) {
      throw new DockerError(
        "invalid",
        `${wrong} is no IPv4 address or range: write it like 10.0.0.0/8`,
      );
    }
    const hash = createHash("sha256").update(agent).digest("hex").slice(0, BRIDGE_HASH_CHARS);
    this.#engine = engine;
    this.#agent = agent;
    this.#name = `railhead-outbound-${agent}`;
    this.#bridge = `rh-${hash}`;
    this.#chains = chainsOf(this.#bridge);
    this.#allowed = allowedAddresses;
  }

  /** Whether this process may set the rules, and the engine's own chains are within its sight. */
  async able(): Promise<boolean> {
    if (!isRoot() || !(await haveTools("iptables", "iptables-restore"))) return false;
    return tool("iptables", ["-w", "-S", "DOCKER-USER"]).then(
      () => true,
      () => false,
    );
  }

  /**
   * Makes network and rules, or sets right what somebody changed: called before each use.
   *
   * @returns the network's name; null where the rules cannot be set
   */
  settle(): Promise<string | null> {
    this.#settling ??= this.#settle().finally(() => {
      this.#settling = null;
    });
    return this.#settling;
  }

  /** As `settle`, for containers whose user is root, and who may send what no rule of ours expects. */
  async settleForRoot(): Promise<string | null> {
    const name = await this.settle();
    return name !== null && (await this.#closeIpv6()) ? name : null;
  }

  async #settle(): Promise<string | null> {
    this.#able ||= await this.able();
    if (!this.#able) return null;
    // Rules first: the network is never there without them.
    await this.#setRules();
    await this.#createNetwork();
    return (await this.#holds()) ? this.#name : null;
  }

  /** Takes network and rules away. Idempotent. @throws DockerError while a container is on the network */
  async remove(): Promise<void> {
    try {
      await this.#engine.removeNetwork(this.#name);
    } catch (error) {
      if (!isKind(error, "gone")) throw error;
    }
    if (!(await this.able())) return;
    for (const [chain, own] of this.#jumps()) {
      while (await passes("-D", chain, ...this.#jump(own)));
      if (await passes("-F", own)) await tool("iptables", ["-w", "-X", own]);
    }
    while (await passes6("-D", ...this.#ipv6Rule()));
  }

  /** Our chain by the chain that it is jumped to from. */
  #jumps(): [string, string][] {
    return [
      ["DOCKER-USER", this.#chains.forward],
      ["INPUT", this.#chains.input],
    ];
  }

  #jump(own: string): string[] {
    return ["-i", this.#bridge, "-j", own];
  }

  async #setRules(): Promise<void> {
    const script = restoreScript(this.#chains, await resolvers(), this.#allowed);
    await tool("iptables-restore", ["-w", "--noflush"], { input: script });
    const listing = await tool("iptables", ["-w", "-S"]);
    for (const [chain, own] of this.#jumps()) {
      const jump = this.#jump(own);
      if (isAhead(listing, chain, jump.join(" "))) continue;
      await passes("-D", chain, ...jump);
      await tool("iptables", ["-w", "-I", chain, "1", ...jump]);
    }
  }

  async #createNetwork(): Promise<void> {
    try {
      await this.#engine.inspectNetwork(this.#name);
      return;
    } catch (error) {
      if (!isKind(error, "gone")) throw error;
    }
    await this.#engine.createNetwork({
      Name: this.#name,
      CheckDuplicate: true,
      Driver: "bridge",
      EnableIPv6: false,
      Options: {
        "com.docker.network.bridge.name": this.#bridge,
        "com.docker.network.bridge.enable_icc": "false",
      },
      Labels: { [LABEL.agent]: this.#agent },
    });
  }

  /** Whether the host's end of the bridge answers to IPv4 alone, which is what the rules are for. */
  async #closeIpv6(): Promise<boolean> {
    const setting = `/proc/sys/net/ipv6/conf/${this.#bridge}/disable_ipv6`;
    // A host without IPv6 has no such setting.
    const closed = () => readFile(setting, "utf8").then((text) => text.trim() === "1", isMissing);
    if (await closed()) return true;
    await writeFile(setting, "1").catch(() => {});
    if (await closed()) return true;
    // An agent in a container of the host's network may set rules, but not this.
    const rule = this.#ipv6Rule();
    return (await passes6("-C", ...rule)) || (await passes6("-I", ...rule));
  }

  #ipv6Rule(): string[] {
    return ["INPUT", "-i", this.#bridge, "-j", "DROP"];
  }

  /** The bridge is in our own network namespace, and the firewall sees what crosses it. */
  async #holds(): Promise<boolean> {
    if (!(await allowed(`/sys/class/net/${this.#bridge}`, constants.F_OK))) return false;
    const filter = await readFile(BRIDGE_FILTER, "utf8").catch(() => "0");
    return filter.trim() === "1";
  }
}

function passes(...args: string[]): Promise<boolean> {
  return succeeds("iptables", args);
}

function passes6(...args: string[]): Promise<boolean> {
  return succeeds("ip6tables", args);
}

function succeeds(program: string, args: string[]): Promise<boolean> {
  return tool(program, ["-w", ...args]).then(
    () => true,
    () => false,
  );
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}

async function resolvers(): Promise<string[]> {
  const texts = await Promise.all(RESOLVERS.map((path) => readFile(path, "utf8").catch(() => "")));
  return nameServers(texts.join("\n"));
}
