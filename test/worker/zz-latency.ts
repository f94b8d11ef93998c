import { join } from "node:path";
import { createTestHarness } from "wrangler";
import { targetKey } from "../../shared/recipes/index.ts";
import { TARGET } from "../support/pool-world.ts";
import { Operator, SECRETS } from "./control-line.ts";

const server = createTestHarness({
  workers: [
    {
      configPath: join(import.meta.dirname, "../../wrangler.toml"),
      secrets: SECRETS,
      vars: { RAILHEAD_RATE_PER_MINUTE: "100000" },
    },
  ],
});
const operator = new Operator((await server.listen()).url.href.replace(/\/$/, ""));
const reg = await operator.register("a");
const line = await operator.connect(reg, { capacity: 1000 });
await line.next("welcome");
const env: any = await server.getWorker().getEnv();
const times: number[] = [];
let got: (() => void) | null = null;
line.socket.on("message", (d) => {
  const f = JSON.parse(String(d));
  if (f.t === "assign") {
    line.say({ t: "accept", build: f.build, attempt: f.attempt });
    got?.();
  }
});
for (let i = 0; i < 120; i++) {
  const target = { ...TARGET, version: `v1.0.${i}` };
  const key = targetKey(target);
  const t = performance.now();
  const done = new Promise<void>((r) => {
    got = r;
  });
  const ans = env.TARGETS.getByName(key).request({
    key,
    target,
    pool: "default",
    caller: "admin",
    credential: null,
  });
  await done;
  times.push(performance.now() - t);
  await ans;
}
times.splice(0, 20);
times.sort((a, b) => a - b);
console.log("to assign p50", times[50], "p95", times[95]);
const m = await (await operator.call("/metrics")).text();
console.log(
  m
    .split("\n")
    .filter((l) => l.includes("dispatch_seconds"))
    .join("\n"),
);
await server.close();
