import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { makeRepository } from "../../cli/dev/repository.ts";
import type { BuildRecord } from "../../shared/builds.ts";
import { until } from "../support/until.ts";
import { startAgent } from "./agent.ts";
import { type Edge, problemOf, REMOTE, startEdge } from "./edge.ts";
import {
  created,
  type Envelope,
  GIT_SECRET,
  gitea,
  github,
  hub,
  send,
  standard,
} from "./webhooks.ts";

const TOOL = '{"builds": ["linux/amd64", {"platform": "windows/arm64", "target": "dist"}]}';

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
    // The git host's own name, not the address at which the edge reads it.
    const looked = `no \\.railhead\\.json was found at https://${REMOTE}/o/plain/raw/[0-9a-f]{40}/\\.railhead\\.json,`;
    assert.match(none.made.reason ?? "", new RegExp(looked));
    const redelivered = await hook("github", fresh, hub.sha256(fresh));
    assert.deepEqual(redelivered, none);

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

  test("starts what the repository's .railhead.json lists at that tag, once", async () => {
    const body = tagged("o/tool", "v1.0.0");
    const twins = await Promise.all([
      hook("github", body, hub.sha256(body)),
      hook("github", body, hub.sha256(body)),
    ]);
    // The second may have come behind the first, or beside it.
    const [first, second = first] = twins.filter(({ status }) => status === 202);
    assert.ok(first !== undefined, JSON.stringify(twins));
    const { made } = first;
    assert.deepEqual(
      made.builds.map(({ build }) => build),
      ["linux/amd64", "windows/arm64 (make dist)"],
    );
    assert.deepEqual(second?.made.builds, made.builds);
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
    assert.match(made.reason ?? "", /\.railhead\.json at v3\.0\.0 lists nothing/);
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

  test("of GitLab with a signing token is signed, which holds for five minutes", async () => {
    const body = JSON.stringify({ object_kind: "push", ref: "refs/heads/main" });
    const status = async (headers: Record<string, string>) =>
      (await send(edge, { path: "/webhooks/gitlab", body, headers })).status;
    const now = Math.floor(Date.now() / 1000);
    const good = standard(body);
    assert.equal(await status(good), 200);
    const rotated = `v1,AAAA ${good["webhook-signature"]}`;
    assert.equal(await status({ ...good, "webhook-signature": rotated }), 200);
    assert.equal(await status({ "x-gitlab-token": GIT_SECRET }), 200);
    assert.equal(await status(standard(body, now - 600)), 403);
    assert.equal(await status({ ...good, "webhook-timestamp": String(now - 1) }), 403);
    assert.equal(await status({ ...good, "webhook-id": "another" }), 403);
    assert.equal(await status(standard(`${body} `)), 403);
    // A signature that does not hold is not made up for by the token.
    const wrong = { ...good, "webhook-signature": "v1,AAAA", "x-gitlab-token": GIT_SECRET };
    assert.equal(await status(wrong), 403);
  });
});
