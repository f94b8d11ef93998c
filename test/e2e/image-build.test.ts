import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { archiveFiles } from "../support/archive.ts";
import { engine } from "../support/engine.ts";
import { contextOf, type ImageStack, imagesWith, openImageStack } from "../support/image-stack.ts";
import { type Ran, run } from "../support/process.ts";

const GITHUB_TOKEN = "ghp_tokenOfTheTests0123456789";
const CLI = join(import.meta.dirname, "../../cli/bin.mjs");

describe("images", () => {
  let world: ImageStack;
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "railhead-images-"));
    const files = (text: string) => ({
      "docker/Dockerfile": `FROM scratch\nLABEL text=${text}\nCOPY hello /\n`,
      hello: text,
    });
    world = await openImageStack({
      gitHost: "github.com",
      repositories: {
        "ada/open": [{ files: files("tagged"), tag: "v1.0.0" }, { files: files("newest") }],
        "ada/secret": [{ files: files("secret") }],
      },
      credentials: { "ada/secret": [{ user: "x-access-token", password: GITHUB_TOKEN }] },
    });
  });
  after(async () => {
    await world?.close();
    await rm(folder, { recursive: true });
  });

  const freshMarker = () => `marker-${randomBytes(8).toString("hex")}`;

  test("a Dockerfile is built, pushed with the given login, and leaves nothing on the host", async () => {
    const image_name = world.freshName();
    const marker = freshMarker();
    const job = await world.post({
      image_name,
      ...world.login,
      email: "me@example.com",
      dockerfile: `FROM ${world.base}\nENV MARKER=${marker}\nRUN echo "said by" $MARKER\n`,
    });
    const { record, log } = await world.stack.ended(job);
    assert.equal(record.state, "succeeded", record.reason ?? "");
    assert.equal(await world.status(job), "Finished");
    assert.match(record.digest ?? "", /^sha256:[0-9a-f]{64}$/);
    assert.equal(record.digest, await world.pushed(image_name));
    const said = log.map(({ msg }) => msg);
    assert.ok(said.includes(`said by ${marker}`), said.join("\n"));
    assert.ok(
      said.some((line) => line.includes("push") || line.includes("Push")),
      said.join("\n"),
    );
    for (const phase of ["build", "push"]) assert.ok(phase in record.timings.phases, phase);
    assert.deepEqual(await imagesWith(marker), []);
    assert.deepEqual(await imagesWith(image_name), []);
    assert.doesNotMatch(JSON.stringify([record, log]), new RegExp(world.registry.password));
  });

  test("a tar comes as JSON, as multipart or from a URL, plain or gzip", async () => {
    const marker = freshMarker();
    const tar = await contextOf({
      Dockerfile: `FROM ${world.base}\nENV MARKER=${marker}\nCOPY a/ /a/\nRUN cat /a/file\n`,
      "a/": "",
      "a/file": `content of ${marker}\n`,
    });
    world.pages.set("/moved.tar.gz", { location: world.url("/context.tar.gz") });
    world.pages.set("/context.tar.gz", gzipSync(tar));
    const common = { image_name: world.freshName(), ...world.login };
    const form = new FormData();
    form.append("TarFile", new Blob([new Uint8Array(gzipSync(tar))]), "context.tar.gz");
    form.append("Json", new Blob([JSON.stringify(common)]), "request.json");
    const posted = await world.stack.post("/api/v1/build", { body: form });
    const { JobIdentifier } = (await posted.json()) as { JobIdentifier: string };
    for (const job of [
      JobIdentifier,
      await world.post({ ...common, tarfile: tar.toString("base64") }),
      await world.post({ ...common, tarUrl: world.url("/moved.tar.gz") }),
    ]) {
      const { record, log } = await world.stack.ended(job);
      assert.equal(record.state, "succeeded", record.reason ?? "");
      assert.ok(log.some(({ msg }) => msg === `content of ${marker}`));
    }
    assert.deepEqual(await imagesWith(marker), []);
  });

  test("a repository of GitHub is built at its tag, or its default branch; a private one with its token", async () => {
    const common = { ...world.login, dockerfile_path: "docker/Dockerfile", github_username: "ada" };
    for (const [text, fields] of [
      ["newest", { github_reponame: "open" }],
      ["tagged", { github_reponame: "open", github_tag: "v1.0.0" }],
      ["secret", { github_reponame: "secret", github_token: GITHUB_TOKEN }],
    ] as const) {
      const image_name = world.freshName();
      const { record, log } = await world.build({ image_name, ...common, ...fields });
      assert.equal(record.state, "succeeded", record.reason ?? "");
      assert.match(record.commit ?? "", /^[0-9a-f]{40}$/);
      assert.equal(record.digest, await world.pushed(image_name));
      assert.ok(log.some(({ msg }) => msg.includes(`LABEL text=${text}`)));
      assert.ok(!JSON.stringify([record, log]).includes(GITHUB_TOKEN), "the token shows");
      assert.deepEqual(await imagesWith(image_name), []);
    }
  });

  test("build arguments, stage, labels and the Dockerfile's path count", async () => {
    const marker = freshMarker();
    const tar = await contextOf({
      "docker/": "",
      "docker/Other": [
        `FROM ${world.base} AS first`,
        `ENV MARKER=${marker}`,
        "ARG WHO=nobody",
        'RUN echo "hello $WHO"',
        "FROM first AS second",
        "RUN exit 1",
        "",
      ].join("\n"),
    });
    const ended = await world.build({
      image_name: world.freshName(),
      ...world.login,
      tarfile: tar.toString("base64"),
      dockerfile_path: "docker/Other",
      build_args: { WHO: marker },
      labels: { "org.example.marker": marker },
      target: "first",
      no_cache: true,
    });
    assert.equal(ended.record.state, "succeeded", ended.record.reason ?? "");
    assert.ok(ended.log.some(({ msg }) => msg === `hello ${marker}`));
    assert.deepEqual(await imagesWith(marker), []);
  });

  test("a base image comes from the private registry with the same login, and goes again", async () => {
    const base = world.freshName();
    const marker = freshMarker();
    const dockerfile = `FROM ${world.base}\nENV MARKER=${marker}\n`;
    const first = await world.build({ image_name: base, ...world.login, dockerfile });
    assert.equal(first.record.state, "succeeded", first.record.reason ?? "");
    const second = await world.build({
      image_name: world.freshName(),
      ...world.login,
      dockerfile: `FROM ${base}\nENV SECOND=${marker}-again\nRUN echo "on top of" $MARKER\n`,
    });
    assert.equal(second.record.state, "succeeded", second.record.reason ?? "");
    assert.ok(second.log.some(({ msg }) => msg === `on top of ${marker}`));
    assert.deepEqual(await imagesWith(`${marker}-again`), []);
    // What was pulled may stay within the cache's cap: it goes with this test.
    await engine("DELETE", `/images/${base}:latest`).catch(() => {});
  });

  test("the image is had as a file that docker load takes, without a push", async () => {
    const marker = freshMarker();
    const image_name = `registry.invalid/tests/${marker}:1`;
    const { record } = await world.build({
      image_name,
      dockerfile: `FROM ${world.base}\nENV MARKER=${marker}\n`,
      tarball: true,
      push: false,
    });
    assert.equal(record.state, "succeeded", record.reason ?? "");
    assert.equal(record.digest, null);
    const bytes = await world.stack.bytes(world.stack.path(record.artifact));
    const files = await archiveFiles(bytes);
    const manifest = JSON.parse(files.get("manifest.json")?.toString() ?? "[]");
    assert.deepEqual(manifest[0].RepoTags, [image_name]);
    // It is the right to read the build: whoever pulls the image must not find it there.
    for (const [name, bytes] of files)
      assert.ok(!bytes.includes(record.build_id), `the build's id is in ${name}`);
    assert.deepEqual(await imagesWith(marker), []);
  });

  describe("railhead image build", () => {
    function railhead(...args: string[]): Promise<Ran> {
      const env = {
        ...process.env,
        HOME: folder,
        RAILHEAD_URL: world.stack.url,
        RAILHEAD_REGISTRY_USERNAME: world.registry.username,
        RAILHEAD_REGISTRY_PASSWORD: world.registry.password,
      };
      return run(process.execPath, [CLI, "image", "build", ...args], { cwd: folder, env });
    }

    test("sends a folder, prints the digest that the registry has, and its status is the build's", async () => {
      const marker = freshMarker();
      const name = world.freshName();
      await mkdir(join(folder, "app"));
      await writeFile(join(folder, "app/.dockerignore"), "*.secret\n");
      await writeFile(join(folder, "app/a.secret"), "x");
      await writeFile(join(folder, "app/a.txt"), "x");
      const dockerfile = `FROM ${world.base}\nENV MARKER=${marker}\nCOPY . /app\nRUN ls /app\n`;
      await writeFile(join(folder, "app/Dockerfile"), dockerfile);
      const good = await railhead("app", "-t", `${name}:1.0`, "-o", "image.tar.gz");
      assert.equal(good.code, 0, good.stderr);
      assert.equal(good.stdout.toString(), `${await world.pushed(name, "1.0")}\n`);
      assert.match(good.stderr, /^a\.txt$/m);
      assert.doesNotMatch(good.stderr, /^a\.secret$/m);
      assert.ok((await archiveFiles(await readFile(join(folder, "image.tar.gz")))).size > 2);
      assert.deepEqual(await imagesWith(marker), []);

      await writeFile(join(folder, "app/Dockerfile"), `${dockerfile}RUN exit 3\n`);
      const bad = await railhead("app", "-t", name);
      assert.equal(bad.code, 1);
      assert.equal(bad.stdout.toString(), "");
      assert.match(bad.stderr, /returned a non-zero code: 3/);
      assert.deepEqual(await imagesWith(marker), []);
    });
  });
});
