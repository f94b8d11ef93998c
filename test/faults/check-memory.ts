/** I9: memory stays bounded. */
import { AGENT_MEMORY_BYTES } from "../../shared/limits.ts";
import type { FaultWorld } from "./world.ts";

const MIB = 2 ** 20;
/** Bytes that the runtime of a whole suite may have: its own eighty, garbage of many cases that it keeps, an object's 128. */
const WORKERD_BYTES = 768 * MIB;

export async function checkMemory(world: FaultWorld): Promise<string[]> {
  const { agent, workerd } = await world.peaks();
  const wrong: string[] = [];
  if (agent > AGENT_MEMORY_BYTES) wrong.push(`I9: an agent had ${mib(agent)} in memory`);
  if (workerd > WORKERD_BYTES) wrong.push(`I9: workerd had ${mib(workerd)} in memory`);
  return wrong;
}

export function mib(bytes: number): string {
  return `${Math.round(bytes / MIB)} MiB`;
}
