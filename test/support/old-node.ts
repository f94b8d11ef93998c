/** The oldest Node.js that the shipped programs promise to run on (README, "Register an agent"), from the npm registry. */
import { join } from "node:path";
import { cached } from "./cache.ts";
import { must, run } from "./process.ts";

const VERSION = "20.20.2";

/** Path of its program. */
export async function oldNode(): Promise<string> {
  const name = `node-linux-${process.arch}`;
  const inside = join("node_modules", name, "bin/node");
  const intact = async (path: string) => {
    const ran = await run(join(path, inside), ["--version"]).catch(() => null);
    return ran?.stdout.toString().trim() === `v${VERSION}`;
  };
  const path = await cached(`node-${VERSION}`, intact, async (folder) => {
    await must("npm", ["install", "--silent", "--prefix", folder, `${name}@${VERSION}`]);
  });
  return join(path, inside);
}
