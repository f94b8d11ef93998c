import { createHash } from "node:crypto";
import { test } from "node:test";
import { REQUESTS } from "./requests.ts";
import { converse, readAnswer } from "./wire.ts";
import { TunnelWorld } from "./world.ts";

test("try", async () => {
  const world = await TunnelWorld.open();
  await world.deploy("try", "app.test");
  console.log(REQUESTS.length);
  const short = (x: Buffer) =>
    x.length < 60
      ? x.toString("latin1")
      : `${x.length}:${createHash("sha256").update(x).digest("hex").slice(0, 6)}`;
  for (const c of REQUESTS) {
    if (c.answer) world.app.answers.set(c.name, { raw: c.answer });
    const out: string[] = [];
    for (const port of [world.app.port, world.port]) {
      const t = performance.now();
      const bytes = await converse(port, c.request);
      const a = readAnswer(c.method, bytes);
      const { seen, faults } = world.app.take();
      const drop =
        /^(date|connection|host|cf-connecting-ip|x-forwarded-(for|host|port|proto)|x-real-ip|x-case|accept-encoding)$/i;
      const hs = (h: [string, string][]) =>
        h
          .filter(([n]) => !drop.test(n))
          .map(([n, v]) => `${n.toLowerCase()}=${v.slice(0, 50)}`)
          .sort()
          .slice(0, 12)
          .join(" | ");
      out.push(
        JSON.stringify({
          status: a?.status,
          inf: a?.informational.length ? a?.informational : undefined,
          h: a && hs(a.headers),
          body: a && short(a.body),
          whole: a?.whole,
          rest: a?.rest.length || undefined,
          faults: faults || undefined,
          seen: seen.map((s) => [
            s.method,
            s.target.slice(0, 70),
            hs(s.headers),
            short(s.body),
            s.trailers.length,
          ]),
        }),
      );
      if (performance.now() - t > 3000) out.push(`SLOW ${performance.now() - t}`);
    }
    if (out[0] !== out[1]) console.log(`## ${c.name}\n  ${out.join("\n  ")}`);
  }
  await world.close();
});
