/**
 * An agent to be killed: starts the container of its only argument (JSON: agent, folder, spec, bytes), reads that many
 * bytes of its output, prints how many of each stream it had, and then reads no more.
 */
import type { RunSpec } from "../../agent/docker/contracts.ts";
import { dockerHost } from "../../agent/docker/index.ts";

type Order = { agent: string; folder: string; spec: RunSpec; bytes: number };

const { agent, folder, spec, bytes }: Order = JSON.parse(process.argv[2] ?? "");
const handle = await dockerHost({ agent, folder }).create(spec);
await handle.start();
const seen = { stdout: 0, stderr: 0 };
const output = handle.output()[Symbol.asyncIterator]();
while (seen.stdout + seen.stderr < bytes) {
  const { value, done } = await output.next();
  if (done) break;
  seen[value.stream] += value.data.length;
}
console.log(JSON.stringify(seen));
setInterval(() => {}, 1_000);
