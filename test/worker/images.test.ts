import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { makeRepository } from "../../cli/dev/repository.ts";
import { archiveFiles } from "../support/archive.ts";
import { until } from "../support/until.ts";
import { ADMIN_TOKEN, startEdge } from "./edge.ts";
import {
  assertRefused,
  DIGEST,
  DOCKERFILE,
  gzip,
  IMAGE,
  type ImageWorld,
  INSUFFICIENT,
  openImageWorld,
  tarOf,
} from "./images.ts";

const NO_SUCH_JOB = `{\n  "Error": "Jobid doesn't exist in the cache.  Bad request."\n}`;

describe("tutum-builder's face", { timeout: 120_000 }, () => {
  let world: ImageWorld;

  before(async () => {
    world = await openImageWorld();
  });
  after(() => world.close());

  test("a job goes through Building, Pushing and Finished, with its log and the pushed digest", async () => {
    const job = await world.jobOf(
      await world.post({ image_name: IMAGE, email: "a@example.com", dockerfile: DOCKERFILE }),
    );
    assert.equal(await world.text(`/api/v1/${job}/status`), '{\n  "Status": "Building"\n}');
    assert.equal(await world.text(`/api/v1/${job}/logs`), '{\n  "Logs": "Fetching logs..."\n}');
    const attempt = await world.agent.attempt();
    await attempt.phase("build");
    assert.equal(await world.status(job), "Building");
    await attempt.say(['Step 1/2 : FROM "scratch"', "\u001b[91mwarning\u001b[0m"]);
    const logs = async () => JSON.parse(await world.text(`/api/v1/${job}/logs`)).Logs;
    assert.equal(await logs(), 'Step 1/2 : FROM "scratch"\n\u001b[91mwarning\u001b[0m\n');
    await attempt.phase("push");
    assert.equal(await world.status(job), "Pushing");
    assert.equal((await world.record(job)).phase, "push");
    await attempt.finish({ outcome: "succeeded", digest: DIGEST });
    assert.equal(await world.text(`/api/v1/${job}/status`), '{\n  "Status": "Finished"\n}');
    const ended = await world.record(job);
    assert.equal(ended.digest, DIGEST);
    assert.equal(ended.phase, null);
    assert.equal(ended.state, "succeeded");
    assert.match(await logs(), /^Step 1\/2 .*\n.*\n==> Your build is successful\.\n$/);
  });

  test("a failure is told with the engine's own message, after the log moved to the bucket too", async () => {
    const { job, attempt } = await world.taken(
      await world.post({ image_name: IMAGE, dockerfile: DOCKERFILE }),
    );
    const reason = "The command '/bin/sh -c false' returned a non-zero code: 1";
    await attempt.say(["Step 2/2 : RUN false"]);
    await attempt.finish({ outcome: "failed", class: "build_error", reason });
    assert.equal(await world.status(job), `Failed: ${reason}`);
    assert.equal((await world.record(job)).class, "build_error");
    const { build_id } = await world.record(job);
    await until("the copy of the log", () =>
      world.edge.bucket.head(`unlisted/logs/${build_id}.ndjson`),
    );
    assert.deepEqual(JSON.parse(await world.text(`/api/v1/${job}/logs`)), {
      Logs: `Step 2/2 : RUN false\n==> Your build failed: ${reason}\n`,
    });
  });

  test("a cancelled job has failed", async () => {
    const { job, attempt } = await world.taken(
      await world.post({ image_name: IMAGE, dockerfile: DOCKERFILE }),
    );
    const headers = { authorization: `Bearer ${ADMIN_TOKEN}` };
    await world.edge.call(`/builds/${job}`, { method: "DELETE", headers });
    await attempt.cancelled();
    await attempt.finish({ outcome: "cancelled", class: "cancelled" });
    assert.equal(await world.status(job), "Failed: it was cancelled by a caller.");
  });

  test("an unknown job, a wrong method and an unknown path are told in its own words", async () => {
    for (const job of ["ef0c7a10-31a5-4140-6087-df97c2bebcb2", "nonsense"])
      for (const what of ["status", "logs"])
        await assertRefused(await world.edge.call(`/api/v1/${job}/${what}`), 404, NO_SUCH_JOB);
    const wrongMethod = '{\n  "Error": "Method not allowed"\n}';
    await assertRefused(await world.edge.call("/api/v1/build"), 405, wrongMethod);
    const posted = await world.edge.call("/api/v1/x/status", { method: "POST" });
    await assertRefused(posted, 405, wrongMethod);
    const nothing = '{\n  "Error": "Resource not found"\n}';
    for (const path of ["/api/v1", "/api/v1/", "/api/v1/build/x", "/api/v1/a/b/c"])
      await assertRefused(await world.edge.call(path), 404, nothing);
  });

  test("keys are taken in any case, and their values reach the agent", async () => {
    const { attempt, target } = await world.taken(
      await world.post({
        IMAGE_NAME: "team/app:1.2",
        Dockerfile: DOCKERFILE,
        Build_Args: { VERSION: "1" },
        labels: { "org.example.a": "b" },
        target: "final",
        no_cache: true,
        cache_from: ["team/app:1.1"],
        username: null,
      }),
    );
    assert.deepEqual(
      { ...target, source: null },
      {
        recipe: "image",
        job: attempt.build,
        image: "team/app:1.2",
        source: null,
        push: true,
        tarball: false,
        dockerfile: "Dockerfile",
        stage: "final",
        args: { VERSION: "1" },
        labels: { "org.example.a": "b" },
        no_cache: true,
        cache_from: ["team/app:1.1"],
        visibility: "unlisted",
      },
    );
    assert.deepEqual(attempt.credentials, []);
    await attempt.finish({ outcome: "succeeded", digest: DIGEST });
  });

  test("build secrets reach the agent by their ids, in the credential alone", async () => {
    const { job, attempt, target } = await world.taken(
      await world.post({ image_name: IMAGE, dockerfile: DOCKERFILE, Secrets: { token: "s3cret" } }),
    );
    assert.deepEqual(target.secret_ids, ["token"]);
    const secrets = [{ id: "token", value: "s3cret" }];
    assert.deepEqual(
      attempt.credentials.map((one) => JSON.parse(one)),
      [{ registry: null, git: null, secrets }],
    );
    assert.doesNotMatch(await world.text(`/builds/${job}`), /s3cret/);
    await attempt.finish({ outcome: "succeeded", digest: DIGEST });
  });

  test("a Dockerfile becomes a tar of one file, the same for the same text", async () => {
    const contexts: Buffer[] = [];
    for (let i = 0; i < 2; i++) {
      const { attempt, target } = await world.taken(
        await world.post({ image_name: IMAGE, dockerfile: "FROM scratch\n# ü\n" }),
      );
      contexts.push(await world.contextOf(attempt, target));
      await attempt.finish({ outcome: "succeeded", digest: DIGEST });
    }
    const [first, second] = contexts as [Buffer, Buffer];
    assert.ok(first.equals(second));
    const files = await archiveFiles(await gzip(first));
    assert.deepEqual([...files.keys()], ["Dockerfile"]);
    assert.equal(files.get("Dockerfile")?.toString(), "FROM scratch\n# ü\n");
  });

  test("a tar comes in base64, or from a URL, which may do without its scheme", async () => {
    const tar = await tarOf({ Dockerfile: DOCKERFILE, a: "b" });
    const inline = await world.taken(
      await world.post({
        image_name: IMAGE,
        tarfile: tar.toString("base64"),
        dockerfile_path: "a",
      }),
    );
    assert.ok((await world.contextOf(inline.attempt, inline.target)).equals(tar));
    assert.equal(inline.target.dockerfile, "a");
    await inline.attempt.finish({ outcome: "succeeded", digest: DIGEST });

    for (const [name, given, url] of [
      [
        "tarUrl",
        "tarmusthaveadockerfile.com/files/a.tar.gz",
        "http://tarmusthaveadockerfile.com/files/a.tar.gz",
      ],
      ["tar_url", "https://files.example/x?y=z", "https://files.example/x?y=z"],
    ] as const) {
      const { attempt, target } = await world.taken(
        await world.post({ image_name: IMAGE, [name]: given }),
      );
      assert.deepEqual(target.source, { kind: "url", url });
      assert.equal((await attempt.context()).status, 404);
      await attempt.finish({ outcome: "succeeded", digest: DIGEST });
    }
  });

  test("a Dockerfile counts more than a tar, a tar more than a URL, a URL more than GitHub", async () => {
    const tar = await tarOf({ Dockerfile: "FROM tar\n" });
    const sources = {
      dockerfile: DOCKERFILE,
      tarfile: tar.toString("base64"),
      tarurl: "files.example/x.tar",
      github_username: "o",
      github_reponame: "tool",
    };
    const all = await world.taken(await world.post({ image_name: IMAGE, ...sources }));
    assert.ok((await world.contextOf(all.attempt, all.target)).includes(DOCKERFILE));
    await all.attempt.finish({ outcome: "succeeded", digest: DIGEST });
    const tarred = await world.taken(
      await world.post({ image_name: IMAGE, ...sources, dockerfile: "" }),
    );
    assert.ok((await world.contextOf(tarred.attempt, tarred.target)).equals(tar));
    await tarred.attempt.finish({ outcome: "succeeded", digest: DIGEST });
    const linked = await world.taken(
      await world.post({ image_name: IMAGE, ...sources, dockerfile: "", tarfile: null }),
    );
    assert.equal(linked.target.source.kind, "url");
    await linked.attempt.finish({ outcome: "succeeded", digest: DIGEST });
  });

  test("a repository of GitHub is its default branch, or the tag that is named", async () => {
    const [first, second] = await makeRepository(join(world.edge.root, "o/tool.git"), [
      { files: { Dockerfile: DOCKERFILE }, tag: "v1.0.0" },
      { files: { Dockerfile: DOCKERFILE, a: "b" } },
    ]);
    const source = { image_name: IMAGE, github_username: "o", github_reponame: "tool" };
    const git = { kind: "git", remote: "github.com", path: ["o", "tool"] };
    const newest = await world.taken(await world.post(source));
    assert.deepEqual(newest.target.source, { ...git, version: second, commit: second });
    assert.equal((await world.record(newest.job)).commit, second);
    await newest.attempt.finish({ outcome: "succeeded", digest: DIGEST });
    const tagged = await world.taken(await world.post({ ...source, github_tag: "v1.0.0" }));
    assert.deepEqual(tagged.target.source, { ...git, version: "v1.0.0", commit: first });
    await tagged.attempt.finish({ outcome: "succeeded", digest: DIGEST });
    await assertRefused(
      await world.post({ ...source, github_tag: "v9" }),
      404,
      /has no tag or branch v9/,
    );
    await assertRefused(
      await world.post({ ...source, github_reponame: "nope" }),
      404,
      /cannot be read/,
    );
    await assertRefused(
      await world.post({ ...source, github_reponame: "../x" }),
      400,
      /no repository/,
    );
  });

  test("what is missing or malformed is refused, and leaves no context behind", async () => {
    for (const fields of [
      {},
      null,
      { image_name: IMAGE },
      { dockerfile: DOCKERFILE },
      { image_name: IMAGE, github_username: "o" },
      { image_name: "", dockerfile: DOCKERFILE },
    ])
      await assertRefused(await world.post(fields ?? {}), 400, INSUFFICIENT);
    const whole = { image_name: IMAGE, dockerfile: DOCKERFILE };
    await assertRefused(await world.send('{"image_name": "a'), 400, /JSON/);
    await assertRefused(await world.send("[]"), 400, /JSON object/);
    for (const [fields, error] of [
      [{ ...whole, image_name: 1 }, /^image_name: /],
      [{ ...whole, image_name: "Not/An/Image" }, /^image_name: "Not\/An\/Image" is no name/],
      [{ ...whole, image_name: `a@${DIGEST}` }, /^image_name: /],
      [{ ...whole, build_args: { "a b": "c" } }, /^build_args/],
      [{ ...whole, labels: { a: "x".repeat(5_000) } }, /^labels/],
      [{ ...whole, target: "--x" }, /^target: /],
      [{ image_name: IMAGE, tarurl: "a.example/x", dockerfile_path: "../x" }, /^dockerfile_path: /],
      [{ ...whole, cache_from: ["A B"] }, /^cache_from/],
      [{ ...whole, secrets: { "a b": "c" } }, /^secrets.*: is no id of a secret/],
      [{ ...whole, secrets: { a: "x".repeat(9_000) } }, /^secrets: they have at most/],
      [{ ...whole, push: false }, /^push: /],
      [{ image_name: IMAGE, tarfile: "%%%" }, /^tarfile: /],
      [{ image_name: IMAGE, tarurl: "ftp://a.example/x" }, /^tarUrl: /],
      [{ image_name: IMAGE, tarurl: "http://u:p@a.example/x" }, /^tarUrl: .*password/],
    ] as const)
      await assertRefused(await world.post(fields), 400, error);
    assert.deepEqual(await world.contexts(), []);
  });

  test("a tar that is too large for JSON is told where to go", async () => {
    const fields = JSON.stringify({ image_name: IMAGE, tarfile: "A".repeat(24 * 1024 * 1024) });
    await assertRefused(await world.send(fields), 413, /POST \/api\/images/);
  });

  test("a caller without a token is refused where builds are not open", async () => {
    const closed = await startEdge({ vars: { RAILHEAD_OPEN_BUILDS: "false" } });
    try {
      const body = JSON.stringify({ image_name: IMAGE, dockerfile: DOCKERFILE });
      const response = await closed.call("/api/v1/build", { method: "POST", body });
      await assertRefused(response, 401, /token/);
    } finally {
      await closed.close();
    }
  });
});
