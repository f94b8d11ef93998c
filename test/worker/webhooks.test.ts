import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { makeRepository } from "../../cli/dev/repository.ts";
import type { BuildRecord } from "../../shared/builds.ts";
import { until } from "../support/until.ts";
import { startAgent } from "./agent.ts";
import { type Edge, problemOf, REMOTE, startEdge } from "./edge.ts";
import { created, GIT_SECRET, gitea, github, hub, send, standard } from "./webhooks.ts";

const TOOL = '{"builds": ["linux/amd64", {"platform": "windows/arm64", "target": "dist"}]}';

type Envelope = { result: boolean; response: unknown };
type Made = {
  reason?: string;
  builds: { build: string; build_id: string }[];
  skipped: { build: string; reason: string }[];
};

describe("a webhook", { timeout: 120_000 }, () => {
  let edge: Edge;

  before(async () => {
    edge = await startEdge({ secrets: { GIT_SECRET } });
    const repository = (name: string, commits: Parameters<typeof makeRepository>[1]) =>
      makeRepository(join(edge.root, `${name}.git`), commits);
    const n = { n: "0" };
    await repository("o/tool", [
      { files: { ".railhead.json": TOOL }, tag: "v1.0.0" },
      { files: { ".railhead.json": '{"builds": ["linux/vax"]}' }, tag: "v2.0.0" },
      { files: { ".railhead.json": '{"builds": []}' }, tag: "v3.0.0", annotated: true },
      {
        files: {
          ".railhead.json": '{"builds": ["erlang", {"erlang": "27", "full_name": "o/own"}]}',
        },
        tag: "v4.0.0",
      },
    ]);
    await repository("o/plain", [
      { files: n, tag: "v1.0.0" },
      { files: n, tag: "v1.1.0" },
      { files: n, tag: "v0.9.0" },
      { files: n, tag: "v1.2.0" },
    ]);
    await repository("group/sub/lib", [{ files: { ".railhead.json": TOOL }, tag: "1.0.0" }]);
  });
  after(() => edge.close());

  async function callback(body: string, headers: Record<string, string> = hub.sha256(body)) {
    const response = await send(edge, { path: "/callback", body, headers });
    return { status: response.status, body: (await response.json()) as Envelope };
  }

  async function hook(
    forge: string,
    body: string,
    headers: Record<string, string>,
  ): Promise<{ status: number; made: Made }> {
    const response = await send(edge, { path: `/webhooks/${forge}`, body, headers });
    return { status: response.status, made: (await response.json()) as Made };
  }

  /** Of GitHub, but for a repository of the tests' own git host. */
  function tagged(repository: string, tag: string, more: object = {}): string {
    const clone_url = `https://${REMOTE}/${repository}.git`;
    return created(repository, tag, { repository: { full_name: repository, clone_url }, ...more });
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

  test("without a .railhead.json builds what was built of the version before", async () => {
    const agent = await startAgent(edge.url);
    const post = async (path: string) => {
      const posted = await edge.call(`/${REMOTE}/o/plain/${path}`, { method: "POST" });
      const { build_id } = (await posted.json()) as { build_id: string };
      const attempt = await agent.attempt();
      assert.equal(attempt.build, build_id);
      await attempt.upload("plain.tar.gz", new TextEncoder().encode(path));
      await attempt.finish({ outcome: "succeeded" });
    };
    const fresh = tagged("o/plain", "v1.1.0");
    const none = await hook("github", fresh, hub.sha256(fresh));
    assert.deepEqual([none.status, none.made.builds], [200, []]);
    assert.match(none.made.reason ?? "", /no \.railhead\.json/);

    await post("linux/arm64/v1.1.0?target=all");
    await post("linux/amd64/v1.1.0");
    await post("darwin/arm64/v0.9.0");
    await until("the Catalog to have them", async () => {
      const listed = await edge.call("/api/builds?recipe=go&state=succeeded");
      return ((await listed.json()) as { builds: unknown[] }).builds.length === 3;
    });
    agent.close();
    const body = tagged("o/plain", "v1.2.0");
    const { status, made } = await hook("github", body, hub.sha256(body));
    assert.equal(status, 202, JSON.stringify(made));
    assert.deepEqual(made.builds.map(({ build }) => build).sort(), [
      "linux/amd64",
      "linux/arm64 (make all)",
    ]);
  });

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

  test("starts what the repository's .railhead.json lists at that tag, once", async () => {
    const body = tagged("o/tool", "v1.0.0");
    const { status, made } = await hook("github", body, hub.sha256(body));
    assert.equal(status, 202, JSON.stringify(made));
    assert.deepEqual(
      made.builds.map(({ build }) => build),
      ["linux/amd64", "windows/arm64 (make dist)"],
    );
    const target = await targetOf(made.builds[1]?.build_id ?? "");
    assert.ok(target.recipe === "go");
    assert.deepEqual(
      [target.remote, target.path, target.goos, target.goarch, target.version, target.make],
      [REMOTE, ["o", "tool"], "windows", "arm64", "v1.0.0", "dist"],
    );
    const again = await hook("github", body, hub.sha256(body));
    assert.deepEqual([again.status, again.made.builds], [200, []]);
    assert.match(again.made.reason ?? "", /came before/);
    const later = tagged("o/tool", "v1.0.0");
    const joined = await hook("github", later, hub.sha256(later));
    assert.deepEqual(joined.made.builds, made.builds);
  });

  test("starts packages too: under the repository's own name, and under one that is free", async () => {
    const body = tagged("o/tool", "v4.0.0");
    const { status, made } = await hook("github", body, hub.sha256(body));
    assert.equal(status, 202, JSON.stringify(made));
    const targets = await Promise.all(made.builds.map(({ build_id }) => targetOf(build_id)));
    assert.deepEqual(
      targets.map((target) => {
        assert.ok(target.recipe === "erlang" && target.asked.kind === "package");
        return [target.asked.namespace, target.asked.name, target.asked.ref, target.erl];
      }),
      [
        ["o", "tool", "v4.0.0", null],
        ["o", "own", "v4.0.0", "27"],
      ],
    );
  });

  test("says what is wrong with a .railhead.json, and may come again", async () => {
    const body = tagged("o/tool", "v2.0.0");
    for (let i = 0; i < 2; i++) {
      const response = await send(edge, {
        path: "/webhooks/github",
        body,
        headers: hub.sha256(body),
      });
      const problem = await problemOf(response);
      assert.deepEqual([response.status, problem.code], [422, "bad_railhead_file"]);
      assert.match(
        problem.detail,
        /^\.railhead\.json at v2\.0\.0 is refused: builds\.0 is neither/,
      );
    }
    const nothing = tagged("o/tool", "v3.0.0");
    const { status, made } = await hook("github", nothing, hub.sha256(nothing));
    assert.deepEqual([status, made.builds], [200, []]);
  });

  test("of GitLab shows the token, of Gitea and Forgejo a signature of their own", async () => {
    const project = {
      path_with_namespace: "group/sub/lib",
      git_http_url: `https://${REMOTE}/group/sub/lib.git`,
    };
    const push = (salt: number) =>
      JSON.stringify({
        object_kind: "tag_push",
        ref: "refs/tags/1.0.0",
        after: "1".repeat(40),
        salt,
        project,
      });
    const token = { "x-gitlab-token": GIT_SECRET };
    const built = await hook("gitlab", push(1), token);
    assert.equal(built.status, 202, JSON.stringify(built.made));
    assert.equal(built.made.builds.length, 2);
    for (const headers of [
      {},
      { "x-gitlab-token": "" },
      { "x-gitlab-token": `${GIT_SECRET}x` },
      hub.sha256(push(1)),
    ])
      assert.equal((await hook("gitlab", push(1), headers as Record<string, string>)).status, 403);
    const removed = JSON.stringify({
      object_kind: "tag_push",
      ref: "refs/tags/1",
      after: "0".repeat(40),
      project,
    });
    assert.match((await hook("gitlab", removed, token)).made.reason ?? "", /removal of/);
    const branch = JSON.stringify({ object_kind: "push", ref: "refs/heads/main", project });
    assert.match((await hook("gitlab", branch, token)).made.reason ?? "", /event push/);

    for (const name of ["gitea", "forgejo"] as const) {
      const body = tagged("o/tool", "v1.0.0");
      const headers = { [`x-${name}-event`]: "create", ...gitea(name, body) };
      const { status, made } = await hook("gitea", body, headers);
      assert.equal(status, 202, JSON.stringify(made));
      assert.equal(made.builds.length, 2);
      for (const wrong of [
        gitea(name, `${body} `),
        gitea(name, body, "x"),
        { "x-gitlab-token": GIT_SECRET },
        {},
      ])
        assert.equal((await hook("gitea", body, wrong as Record<string, string>)).status, 403);
    }
  });

  test("of a repository that is not built from here, or not public, is told so", async () => {
    for (const [clone_url, status, code] of [
      ["https://evil.example/o/tool.git", 403, "remote_not_allowed"],
      ["https://user:pass@git.example/o/tool.git", 400, "bad_body"],
      ["file:///etc/passwd", 400, "bad_body"],
      ["http://169.254.169.254/o/tool", 403, "remote_not_allowed"],
      [`https://${REMOTE}/../../etc`, 400, "bad_body"],
      [`https://${REMOTE}/o/secret`, 404, "no_such_repository"],
      ["https://other.example/o/tool", 502, "remote_unreachable"],
    ] as const) {
      const body = created("o/tool", "v1.0.0", { repository: { full_name: "o/tool", clone_url } });
      const response = await send(edge, {
        path: "/webhooks/github",
        body,
        headers: hub.sha256(body),
      });
      const problem = await problemOf(response);
      assert.deepEqual([clone_url, response.status, problem.code], [clone_url, status, code]);
      if (code === "no_such_repository") assert.match(problem.detail, /a webhook brings none/);
    }
    const gone = tagged("o/tool", "v9.9.9");
    const response = await send(edge, {
      path: "/webhooks/github",
      body: gone,
      headers: hub.sha256(gone),
    });
    assert.equal((await problemOf(response)).code, "no_such_version");
  });

  test("that is malformed is refused and never a 500", async () => {
    const repository = github("ada/bad");
    const payloads: unknown[] = [
      null,
      1,
      "x",
      [],
      {},
      { repository: null },
      { repository: {} },
      { repository: [] },
      { repository: { full_name: 1, clone_url: 2 } },
      { repository: { full_name: "ada/bad" } },
      { ref: 1, repository },
      { ref: "v1", ref_type: ["tag"], repository },
      { ref: "v1", ref_type: "tag" },
      { ref: "", ref_type: "tag", repository },
      { ref: "\u0000", ref_type: "tag", repository },
      { ref: "v".repeat(2_000), ref_type: "tag", repository },
      {
        ref: "v1",
        ref_type: "tag",
        repository: { full_name: "..", clone_url: "https://github.com/.." },
      },
      {
        ref: "v1",
        ref_type: "tag",
        repository: { full_name: "\ud800/x", clone_url: "https://github.com/\ud800/x" },
      },
      {
        ref: "v1",
        ref_type: "tag",
        repository: { full_name: "a/b/c", clone_url: "https://github.com/a/b/c" },
      },
      { object_kind: "tag_push", ref: "refs/tags/1", project: {} },
      { object_kind: {}, project: [] },
      { object_kind: "tag_push", ref: "refs/tags/1" },
    ];
    const raw = ["", "{", "\u0000", "[".repeat(30_000), '{"a":'.repeat(10_000), "payload=%7B"];
    for (const body of [...payloads.map((payload) => JSON.stringify(payload)), ...raw])
      for (const [path, headers] of [
        ["/callback", hub.sha256(body)],
        ["/webhooks/github", hub.sha256(body)],
        ["/webhooks/gitlab", { "x-gitlab-token": GIT_SECRET }],
        ["/webhooks/gitea", gitea("gitea", body)],
      ] as const)
        for (const event of ["create", "push", "ping"]) {
          const named = { "x-github-event": event, "x-gitea-event": event };
          const response = await send(edge, { path, body, headers: { ...headers, ...named } });
          const answer = (await response.json()) as Envelope & {
            detail?: string;
            builds?: unknown[];
          };
          const what = `${path} ${event} ${body.slice(0, 100)}: ${JSON.stringify(answer)}`;
          assert.ok([200, 400, 404].includes(response.status), `${response.status} ${what}`);
          if (path === "/callback") assert.equal(answer.result, response.status === 200, what);
          else
            assert.ok(response.status === 200 ? answer.builds?.length === 0 : answer.detail, what);
        }
    const huge = JSON.stringify({ ref: "x".repeat(5 * 2 ** 20) });
    const response = await send(edge, { path: "/callback", body: huge, headers: hub.sha256(huge) });
    assert.equal(response.status, 413);
    assert.equal(((await response.json()) as Envelope).result, false);
  });
});

describe("webhooks of an edge with another secret", { timeout: 120_000 }, () => {
  test("without GIT_SECRET none is taken", async () => {
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

  test("with a signing token of GitLab's, its signatures hold for five minutes", async () => {
    const token = `whsec_${Buffer.from("0123456789abcdef0123456789abcdef").toString("base64")}`;
    const edge = await startEdge({ secrets: { GIT_SECRET: token } });
    try {
      const body = JSON.stringify({ object_kind: "push", ref: "refs/heads/main" });
      const status = async (headers: Record<string, string>) =>
        (await send(edge, { path: "/webhooks/gitlab", body, headers })).status;
      const now = Math.floor(Date.now() / 1000);
      const good = standard(body, token);
      assert.equal(await status(good), 200);
      const rotated = `v1,AAAA ${good["webhook-signature"]}`;
      assert.equal(await status({ ...good, "webhook-signature": rotated }), 200);
      assert.equal(await status({ "x-gitlab-token": token }), 200);
      assert.equal(await status(standard(body, token, now - 600)), 403);
      assert.equal(await status({ ...good, "webhook-timestamp": String(now - 1) }), 403);
      assert.equal(await status({ ...good, "webhook-id": "another" }), 403);
      assert.equal(await status(standard(`${body} `, token)), 403);
      // A signature that does not hold is not made up for by the token.
      const wrong = { ...good, "webhook-signature": "v1,AAAA", "x-gitlab-token": token };
      assert.equal(await status(wrong), 403);
    } finally {
      await edge.close();
    }
  });
});
