import type { Limits } from "./contracts.ts";
import type { ContainerBody } from "./engine.ts";

/**
 * What no container of ours runs without, as a part of its HostConfig (DESIGN.md rule 6).
 * @param cpus cores of the engine: more is refused by it
 * @param bridged it is on a network of the agent's own, whose rules are for IPv4
 */
export function hardened(
  limits: Pick<Limits, "memory_bytes" | "cpus" | "pids">,
  { cpus, bridged }: { cpus: number; bridged: boolean },
): NonNullable<ContainerBody["HostConfig"]> {
  return {
    // A bridge without IPv6 addresses still has link-local ones.
    ...(bridged ? { Sysctls: { "net.ipv6.conf.all.disable_ipv6": "1" } } : {}),
    CapDrop: ["ALL"],
    SecurityOpt: ["no-new-privileges"],
    Privileged: false,
    IpcMode: "private",
    Init: true,
    RestartPolicy: { Name: "no" },
    PidsLimit: limits.pids,
    Memory: limits.memory_bytes,
    MemorySwap: limits.memory_bytes,
    NanoCpus: Math.round(Math.min(limits.cpus, cpus) * 1e9),
  };
}
