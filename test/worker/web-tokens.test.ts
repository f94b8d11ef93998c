/** The pages of a deployment: builds need a token, some repositories are private, and there are limits. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { makeRepository } from "../../cli/dev/repository.ts";
import { until } from "../support/until.ts";
import { startAgent, type TestAgent } from "./agent.ts";
import { ADMIN_TOKEN, type Edge, startEdge } from "./edge.ts";
import { type Fields, Reader } from "./reader.ts";
import { FAILED } from "./workshop.ts";

describe("the pages where builds need a token", { timeout: 120_000 }, () => {
  let edge: Edge;
  let agent: TestAgent;
  let reader: Reader;
  const GIT_TOKEN = "token-of-the-git-host";
  const fields = (version: string, token: string): Fields => [
    ["repository", "git.example/o/tool"],
    ["recipe", "go"],
    ["pick", `${version} linux/amd64`],
    ["token", token],
  ];

  before(async () => {
    edge = await startEdge({
      vars: {
        RAILHEAD_OPEN_BUILDS: "false",
        RAILHEAD_EXPECT_AGENTS: "2",
        RAILHEAD_RATE_PER_MINUTE: "3",
      },
      credentials: { "o/secret": [{ user: "x-access-token", password: GIT_TOKEN }] },
    });
    const history = ["v1", "v2", "v3", "v4"].map((tag) => ({ files: { n: tag }, tag }));
    for (const name of ["tool", "secret"])
      await makeRepository(join(edge.root, `o/${name}.git`), history);
    agent = await startAgent(edge.url);
    reader = new Reader(edge);
  });
  after(async () => {
    agent.close();
    await edge.close();
  });

  test("forms ask for the token, use it, and never show it again", async () => {
    const form = await reader.page("/add?repository=git.example/o/tool");
    assert.match(form, /<input id="add-token" type="password" name="token" autocomplete="off"/);
    assert.match(await reader.page("/"), /\$RAILHEAD_TOKEN/);
    for (const wrong of ["", `rh_${"x".repeat(43)}`, "secret-looking"]) {
      const html = await reader.checked(await reader.send("/add", fields("v1", wrong)), 401);
      assert.ok(wrong === "" || !html.includes(wrong));
    }
    const id = await reader.toBuild("/add", fields("v1", ADMIN_TOKEN));
    const attempt = await agent.attempt();
    assert.equal(attempt.build, id);
    assert.match(await reader.page(`/builds/${id}`), /id="cancel-token" type="password"/);
    await reader.checked(await reader.send(`/builds/${id}/cancel`, []), 401);
    const cancelling = reader.toBuild(`/builds/${id}/cancel`, [["token", ADMIN_TOKEN]]);
    await attempt.cancelled();
    await attempt.finish({ outcome: "cancelled" });
    await cancelling;
    assert.ok(!(await reader.page(`/builds/${id}`)).includes(ADMIN_TOKEN));
  });

  test("a private build is no page, and in no list", async () => {
    const authorization = `token ${GIT_TOKEN}`;
    const answer = await edge.call("/git.example/o/secret/linux/amd64/v1", {
      method: "POST",
      headers: { authorization, "railhead-token": ADMIN_TOKEN },
    });
    assert.equal(answer.status, 202, await answer.clone().text());
    const { build_id } = (await answer.json()) as { build_id: string };
    const private_ = await reader.page(`/builds/${build_id}`, 404);
    const unknown = await reader.page(`/builds/${"0".repeat(32)}`, 404);
    assert.equal(private_, unknown);
    await reader.checked(await reader.get(`/builds/${build_id}/logs`), 404);
    for (const path of ["/", "/?q=secret"])
      assert.ok(!(await reader.page(path)).includes("o/secret"), path);
    await reader.page("/p/git.example/o/secret", 404);
    await (await agent.attempt()).finish(FAILED);
  });

  test("errors of every kind are pages, with the sentence and the headers that every client gets", async () => {
    assert.match(await reader.page("/readyz", 503), /1 of 2 agents are connected/);
    assert.match(await reader.page("/git.example/o/tool/linux/amd64/v9", 404), /Not built/);
    assert.match(await reader.page("/git.example/o/tool/linux/amd65/v9", 400), /linux\/amd64/);
    const limited = await until("the rate to be used up", async () => {
      const response = await reader.send("/add", fields("v2", ADMIN_TOKEN));
      if (response.status !== 303) return response;
      await (await agent.attempt()).finish(FAILED);
      return null;
    });
    assert.ok(Number(limited.headers.get("retry-after")) > 0);
    assert.match(await reader.checked(limited, 429), /as many builds as a minute allows/);
  });
});
