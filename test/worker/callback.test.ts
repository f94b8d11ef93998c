import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { BuildRecord } from "../../shared/builds.ts";
import { type Edge, problemOf, startEdge } from "./edge.ts";
import { created, type Envelope, GIT_SECRET, gitea, github, hub, send } from "./webhooks.ts";

describe("coon's webhook", { timeout: 120_000 }, () => {
  let edge: Edge;

  before(async () => {
    edge = await startEdge({ secrets: { GIT_SECRET } });
  });
  after(() => edge.close());

  async function callback(body: string, headers: Record<string, string> = hub.sha256(body)) {
    const response = await send(edge, { path: "/callback", body, headers });
    return { status: response.status, body: (await response.json()) as Envelope };
  }

  async function targetOf(build_id: string): Promise<BuildRecord["target"]> {
    const record = (await (await edge.call(`/builds/${build_id}`)).json()) as BuildRecord;
    return record.target;
  }

  async function refused(body: string, headers?: Record<string, string>): Promise<unknown> {
    const { status, body: envelope } = await callback(body, headers);
    assert.deepEqual([status, envelope.result], [400, false], JSON.stringify(envelope));
    return envelope.response;
  }

  test("from GitHub at /callback is checked in coon's order, in coon's words", async () => {
    const elsewhere = created("ada/hello", "1.0.0", {
      repository: { full_name: "ada/hello", clone_url: "https://gitlab.com/ada/hello.git" },
    });
    const other = created("ada/hello", "1.0.0", {
      repository: { ...github("eve/hello"), full_name: "ada/hello" },
    });
    const good = created("ada/hello", "1.0.0");
    const wrong = hub.sha256("other bytes");
    assert.equal(
      await refused(elsewhere, wrong),
      "Validation failed: Url https://gitlab.com/ada/hello.git doesn't point to github!",
    );
    assert.equal(
      await refused(other, wrong),
      "Validation failed: Malformed github url: https://github.com/eve/hello.git",
    );
    assert.equal(await refused(good, wrong), "Validation failed: Wrong signature for ada/hello");
    assert.equal(await refused(good, {}), "Validation failed: Wrong signature for ada/hello");
  });

  test("must be signed over its very bytes, and the stronger of two signatures counts", async () => {
    const body = created("ada/bytes", "1.0.0");
    const wrongKey = "another-secret-of-the-same-length";
    for (const headers of [
      hub.sha256(body, wrongKey),
      hub.sha1(body, wrongKey),
      { ...hub.sha1(body), ...hub.sha256(body, wrongKey) },
      { "x-hub-signature-256": "sha256=" },
      { "x-hub-signature-256": `sha256=${"0".repeat(63)}` },
      { "x-hub-signature-256": hub.sha1(body)["x-hub-signature"] },
      { "x-hub-signature": hub.sha256(body)["x-hub-signature-256"].replace("sha256", "sha1") },
      gitea("gitea", body),
      { "x-gitlab-token": GIT_SECRET },
    ])
      assert.equal(
        await refused(body, headers),
        "Validation failed: Wrong signature for ada/bytes",
      );
    assert.equal(
      await refused(`${body} `, hub.sha256(body)),
      "Validation failed: Wrong signature for ada/bytes",
    );
    assert.equal((await callback(body, hub.sha1(body))).status, 200);
    const both = created("ada/bytes", "1.0.1");
    const headers = { ...hub.sha1(both, wrongKey), ...hub.sha256(both) };
    assert.equal((await callback(both, headers)).status, 200);
  });

  test("of a new tag builds that package once, however often it comes", async () => {
    const body = created("ada/once", "1.0.0");
    const first = await callback(body);
    assert.equal(first.body.result, true);
    const [id = ""] = (first.body.response as { build_ids: string[] }).build_ids;
    const target = await targetOf(id);
    assert.ok(target.recipe === "erlang" && target.asked.kind === "package");
    const { remote, path, namespace, name, ref, notify } = target.asked;
    assert.deepEqual(
      { remote, path, namespace, name, ref, notify, erl: target.erl },
      {
        remote: "github.com",
        path: ["ada", "once"],
        namespace: "ada",
        name: "once",
        ref: "1.0.0",
        notify: true,
        erl: null,
      },
    );
    const again = await callback(body, hub.sha1(body));
    assert.deepEqual(again.body, {
      result: true,
      response: "Ignored: this webhook came before.",
    });
    const slash = await send(edge, {
      path: "/callback/",
      body,
      headers: hub.sha256(body),
    });
    assert.equal(slash.status, 200);
  });

  test("of a pushed tag builds, as a form too; of anything else it is acknowledged", async () => {
    const repository = github("ada/events");
    const push = JSON.stringify({ ref: "refs/tags/2.0.0", after: "1".repeat(40), repository });
    const event = (name: string) => ({ "x-github-event": name });
    const pushed = await callback(push, { ...event("push"), ...hub.sha256(push) });
    assert.ok(typeof pushed.body.response === "object", JSON.stringify(pushed));
    const form = new URLSearchParams({ payload: created("ada/events", "2.0.1") }).toString();
    const type = { "content-type": "application/x-www-form-urlencoded" };
    const sent = await callback(form, { ...event("create"), ...type, ...hub.sha256(form) });
    assert.ok(typeof sent.body.response === "object", JSON.stringify(sent));
    for (const [name, payload, what] of [
      ["ping", { zen: "Keep it logically awesome.", repository }, "event ping"],
      ["ping", { zen: "Of an organisation." }, "event ping"],
      ["create", { ref: "main", ref_type: "branch", repository }, "branch main"],
      ["push", { ref: "refs/heads/main", repository }, "push to refs/heads/main"],
      ["push", { ref: "refs/tags/1", deleted: true, repository }, "removal of refs/tags/1"],
      ["push", { ref: "refs/tags/1", after: "0".repeat(40), repository }, "removal of refs/tags/1"],
      ["delete", { ref: "1", ref_type: "tag", repository }, "event delete"],
      ["star", { action: "created", repository }, "event star"],
      [
        "create",
        { ref: "-rf", ref_type: "tag", repository },
        "a tag whose name cannot be a version",
      ],
    ] as const) {
      const body = JSON.stringify(payload);
      const answer = await callback(body, { ...event(name), ...hub.sha256(body) });
      assert.equal(answer.status, 200);
      assert.deepEqual(answer.body, { result: true, response: `Ignored: ${what}.` });
    }
  });

  test("takes a package's name from whoever took it by hand", async () => {
    const order = (clone_url: string) =>
      send(edge, {
        path: "/buildAsync",
        body: JSON.stringify({ full_name: "ada/taken", clone_url, versions: [{ ref: "1" }] }),
        headers: {},
      });
    assert.equal((await order("https://other.example/eve/squat.git")).status, 200);
    assert.equal((await order("https://github.com/ada/taken")).status, 400);
    assert.equal((await callback(created("ada/taken", "1.0.0"))).status, 200);
    const owner = await order("https://github.com/ada/taken");
    assert.equal(owner.status, 200);
    const squatter = await order("https://other.example/eve/squat.git");
    assert.equal(squatter.status, 400);
    assert.match(
      ((await squatter.json()) as Envelope).response as string,
      /^Validation failed: Request RepositoryDTO\{fullName='ada\/taken', /,
    );
  });
});

describe("an edge without GIT_SECRET", { timeout: 120_000 }, () => {
  test("takes no webhook", async () => {
    const edge = await startEdge();
    try {
      const body = created("ada/hello", "1.0.0");
      const response = await send(edge, { path: "/callback", body, headers: hub.sha256(body) });
      assert.equal(response.status, 400);
      const { response: why } = (await response.json()) as Envelope;
      assert.equal(why, "Validation failed: Can't verify github signature");
      const hooked = await send(edge, {
        path: "/webhooks/github",
        body,
        headers: hub.sha256(body, ""),
      });
      assert.equal((await problemOf(hooked)).code, "bad_signature");
    } finally {
      await edge.close();
    }
  });
});
