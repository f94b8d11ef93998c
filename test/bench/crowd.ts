/** Everybody wants the same thing at once. */
import { hello } from "../support/fixtures.ts";
import { type Accepted, openStack } from "../support/stack.ts";
import { fact, type Measure, percentile, type Row, timed } from "./measure.ts";

const CROWD = 1_000;

export const crowd: Measure = {
  name: "crowd",
  how: `${CROWD.toLocaleString("en")} POSTs of one target are sent at once; every answer must name the same build.`,
  async run() {
    const stack = await openStack({ repositories: { "bench/hello": hello } });
    try {
      const path = "/git.example/bench/hello/linux/amd64/v1.0.0";
      const ids = new Set<string>();
      const samples: number[] = [];
      const { ms } = await timed(() =>
        Promise.all(
          Array.from({ length: CROWD }, async () => {
            const answer = await timed(() => stack.post(path));
            samples.push(answer.ms);
            const body = (await answer.value.json()) as Partial<Accepted>;
            if (body.build_id) ids.add(body.build_id);
            else if (answer.value.status !== 409) ids.add(JSON.stringify(body));
          }),
        ),
      );
      const one: Row = {
        figure: "builds made by 1,000 POSTs at once",
        target: "1",
        measured: String(ids.size),
        met: ids.size === 1,
      };
      const [id] = [...ids] as [string];
      await stack.ended(id);
      return [
        one,
        fact("until all are answered", ms, " ms"),
        fact("one answer, p95", percentile(samples, 0.95), " ms"),
      ];
    } finally {
      await stack.close();
    }
  },
};
