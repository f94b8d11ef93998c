import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import type { BuildRecord } from "../../shared/builds.ts";
import { until } from "../support/until.ts";
import { startAgent, type TestAgent } from "./agent.ts";
import { type Edge, startEdge } from "./edge.ts";

const TOKEN = "mail-token-of-the-tests";
const COMMITTER = "ada.lovelace@example.com";
const FACTS = { version: "1.0.0", commit: "c".repeat(40), erl_version: "27", app: "web" };

type Received = {
  authorization: string | undefined;
  key: string | undefined;
  mail: { from: string; to: string[]; subject: string; text: string };
};

describe("mail to committers through an HTTP API", { timeout: 120_000 }, () => {
  const received: Received[] = [];
  /** Statuses of the next answers; 200 after them. */
  const answers: number[] = [];
  let api: Server;
  let edge: Edge;
  let agent: TestAgent;

  before(async () => {
    api = createServer(async (request, response) => {
      const { authorization, "idempotency-key": key } = request.headers;
      received.push({
        authorization,
        key: String(key),
        mail: JSON.parse(await text(request)),
      });
      response.writeHead(answers.shift() ?? 200).end('{"id":"1"}');
    });
    await new Promise<void>((resolve) => api.listen(0, "127.0.0.1", resolve));
    edge = await startEdge({
      vars: {
        RAILHEAD_MAIL_URL: `http://127.0.0.1:${(api.address() as AddressInfo).port}/emails`,
        RAILHEAD_MAIL_FROM: "Railhead <builds@example.com>",
        RAILHEAD_HOSTS: "railhead.example",
      },
      secrets: { RAILHEAD_MAIL_TOKEN: TOKEN },
    });
    agent = await startAgent(edge.url);
  });
  after(async () => {
    agent.close();
    await edge.close();
    api.closeAllConnections();
    await new Promise((resolve) => api.close(resolve));
  });

  /** Posts a package, and lets its only attempt fail. */
  async function failed(name: string): Promise<string> {
    const posted = await edge.call("/buildAsync", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        full_name: `acme/${name}`,
        clone_url: `https://github.com/acme/${name}`,
        versions: [{ ref: "1.0.0", erl_version: "27" }],
      }),
    });
    assert.equal(posted.status, 200);
    const attempt = await agent.attempt();
    await attempt.say(["web.erl:3: syntax error"]);
    await attempt.finish({
      outcome: "failed",
      class: "compile_error",
      reason: "web.erl does not compile.",
      package: FACTS,
      committer: COMMITTER,
    });
    return attempt.build;
  }

  test("one is sent when a build has ended, and the address is in nothing that can be read", async () => {
    const id = await failed("web");
    const sent = await until("the mail", () => received[0]);
    assert.deepEqual(sent, {
      authorization: `Bearer ${TOKEN}`,
      key: `railhead-${id}`,
      mail: {
        from: "Railhead <builds@example.com>",
        to: [COMMITTER],
        subject: "Failed: acme/web 1.0.0 for Erlang/OTP 27",
        text: [
          "The build of acme/web 1.0.0 for Erlang/OTP 27 failed: web.erl does not compile.",
          "",
          `Build: https://railhead.example/builds/${id}`,
          `Log:   https://railhead.example/builds/${id}/logs`,
          "",
          "Its log ends with:",
          "",
          "  web.erl:3: syntax error",
          "",
        ].join("\n"),
      },
    });
    for (const path of [`/builds/${id}`, `/builds/${id}/logs`, "/api/builds", "/metrics"]) {
      const answer = await edge.call(path);
      assert.equal(answer.status, 200, path);
      assert.doesNotMatch(await answer.text(), /lovelace/, path);
    }
  });

  test("an API that is down is asked again, for the same mail; one that refuses is not", async () => {
    answers.push(503, 200, 422);
    const since = received.length;
    const id = await failed("late");
    const record = (await (await edge.call(`/builds/${id}`)).json()) as BuildRecord;
    assert.equal(record.state, "failed");
    await until("the second try", () => received.length === since + 2);
    const refused = await failed("refused");
    await until("the refusal", () => received.length === since + 3);
    const next = await failed("next");
    await until("the mail after it", () => received.length === since + 4);
    assert.deepEqual(
      received.slice(since).map(({ key }) => key),
      [id, id, refused, next].map((build) => `railhead-${build}`),
    );
  });
});
