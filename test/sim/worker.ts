/** A thread that runs seeds, one after the other, as long as it is given some. */
import { parentPort, workerData } from "node:worker_threads";
import { HOLES } from "./holes.ts";
import { plant } from "./plant.ts";

const hole = HOLES.find(({ name }) => name === workerData.hole);
const check = hole && plant(hole);
const { runSeed } = await import("./run.ts");
check?.();
parentPort?.on("message", async (seed: number) => {
  parentPort?.postMessage(await runSeed(seed));
});
parentPort?.postMessage("ready");
