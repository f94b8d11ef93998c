/** What an agent costs its host. */
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { must } from "../support/process.ts";
import { openStack } from "../support/stack.ts";
import { until } from "../support/until.ts";
import { fact, type Measure, median, timed } from "./measure.ts";

const ROOT = join(import.meta.dirname, "../..");
const BUNDLE = join(ROOT, "dist/agent.js");

export const agent: Measure = {
  name: "agent",
  how: "The bundle that is shipped is started again and again; the edge's list says when it is connected. Memory is the resident set of the idle process.",
  async run({ quick }) {
    await must("npx", ["tsup", "--silent"], { cwd: ROOT });
    const versions: number[] = [];
    for (let i = 0; i < (quick ? 3 : 10); i++)
      versions.push((await timed(() => must(process.execPath, [BUNDLE, "--version"]))).ms);

    const stack = await openStack({ repositories: {} });
    try {
      const connected: number[] = [];
      for (let i = 0; i < (quick ? 2 : 5); i++) {
        await stack.killAgent(0);
        await until("the agent to be missed", async () =>
          (await stack.agents()).every(({ status }) => status !== "connected"),
        );
        const { ms } = await timed(async () => {
          stack.startAgent(0);
          await until("the agent to be connected", async () =>
            (await stack.agents()).some(({ status }) => status === "connected"),
          );
        });
        connected.push(ms);
      }
      const status = await readFile(`/proc/${stack.agentPid(0)}/status`, "utf8");
      const resident = Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]);
      return [
        fact("bundle", (await stat(BUNDLE)).size / 1024, " KiB"),
        fact("bundle, `--version`", median(versions), " ms"),
        fact("started → connected", median(connected), " ms"),
        fact("resident memory, idle", resident / 1024, " MiB"),
      ];
    } finally {
      await stack.close();
    }
  },
};
