import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { ImageTarget } from "../../shared/recipes/image.ts";
import { archiveFiles } from "../support/archive.ts";
import { type Ran, run } from "../support/process.ts";
import { until } from "../support/until.ts";
import { DIGEST, IMAGE, type ImageWorld, openImageWorld } from "./images.ts";

const MAIN = join(import.meta.dirname, "../../cli/main.ts");
const REGISTRY = "registry.example:5000";

describe("railhead image build", { timeout: 120_000 }, () => {
  let world: ImageWorld;
  let folder: string;

  before(async () => {
    world = await openImageWorld();
    folder = await mkdtemp(join(tmpdir(), "railhead-image-"));
    await mkdir(join(folder, "app/docker"), { recursive: true });
    for (const [name, content] of Object.entries({
      "app/Dockerfile": "FROM scratch\nCOPY a /\n",
      "app/docker/Other": "FROM scratch\n",
      "app/.dockerignore": "*.log\n",
      "app/a": "content",
      "app/b.log": "noise",
      "config.json": JSON.stringify({
        auths: { [REGISTRY]: { auth: Buffer.from("u:secret-word").toString("base64") } },
      }),
    }))
      await writeFile(join(folder, name), content);
  });
  after(async () => {
    await world.close();
    await rm(folder, { recursive: true });
  });

  const environment = () => ({
    PATH: process.env.PATH,
    HOME: folder,
    DOCKER_CONFIG: folder,
    RAILHEAD_URL: world.edge.url,
    FROM_ENVIRONMENT: "here",
  });

  function railhead(...args: string[]): Promise<Ran> {
    const env = environment();
    return run(process.execPath, [MAIN, "image", "build", ...args], { cwd: folder, env });
  }

  test("sends the folder, follows the log, prints the digest and exits 0", async () => {
    const running = railhead("app", "-t", IMAGE);
    const attempt = await world.agent.attempt();
    const files = await archiveFiles(Buffer.from(await (await attempt.context()).arrayBuffer()));
    assert.deepEqual([...files.keys()], [".dockerignore", "Dockerfile", "a", "docker/Other"]);
    assert.equal(files.get("a")?.toString(), "content");
    assert.equal((attempt.target as ImageTarget).image, `${IMAGE}:latest`);
    assert.deepEqual(
      attempt.credentials.map((one) => JSON.parse(one)),
      [{ registry: { username: "u", password: "secret-word" }, git: null, secrets: [] }],
    );
    await attempt.say(["Step 1/2 : FROM scratch"]);
    await attempt.finish({ outcome: "succeeded", digest: DIGEST });
    const { code, stdout, stderr } = await running;
    assert.equal(code, 0, stderr);
    assert.equal(stdout.toString(), `${DIGEST}\n`);
    assert.match(stderr, /Step 1\/2 : FROM scratch/);
    assert.doesNotMatch(stderr, /secret-word/);
  });

  test("passes every option on", async () => {
    const args = ["-t", "team/app:1", "-f", "app/docker/Other", "--build-arg", "A=b"];
    args.push("--build-arg", "FROM_ENVIRONMENT", "--label", "x=y", "--target", "final");
    args.push("--no-cache", "--cache-from", "team/app:0", "--no-wait", "--json");
    const running = railhead("app", ...args);
    const attempt = await world.agent.attempt();
    assert.deepEqual(
      { ...attempt.target, source: null },
      {
        recipe: "image",
        job: attempt.build,
        image: "team/app:1",
        source: null,
        push: true,
        tarball: false,
        dockerfile: "docker/Other",
        stage: "final",
        args: { A: "b", FROM_ENVIRONMENT: "here" },
        labels: { x: "y" },
        no_cache: true,
        cache_from: ["team/app:0"],
        visibility: "unlisted",
      },
    );
    assert.deepEqual(attempt.credentials, []);
    const { code, stdout } = await running;
    assert.equal(code, 0);
    assert.equal(JSON.parse(stdout.toString()).build_id, attempt.build);
    await attempt.finish({ outcome: "succeeded", digest: DIGEST });
  });

  test("sends secrets from a file and from the environment, and shows none", async () => {
    await writeFile(join(folder, "key"), "line one\nline two\n");
    const secrets = ["--secret", "id=key,src=key", "--secret", "id=FROM_ENVIRONMENT"];
    const running = railhead(
      "app",
      "-t",
      IMAGE,
      ...secrets,
      "--secret",
      "id=c,env=FROM_ENVIRONMENT",
    );
    const attempt = await world.agent.attempt();
    const { secret_ids } = attempt.target as ImageTarget;
    assert.deepEqual(secret_ids, ["key", "FROM_ENVIRONMENT", "c"]);
    assert.deepEqual(JSON.parse(attempt.credentials[0] ?? "").secrets, [
      { id: "key", value: "line one\nline two\n" },
      { id: "FROM_ENVIRONMENT", value: "here" },
      { id: "c", value: "here" },
    ]);
    await attempt.finish({ outcome: "succeeded", digest: DIGEST });
    const { code, stderr } = await running;
    assert.equal(code, 0, stderr);
    assert.doesNotMatch(stderr, /line one/);
  });

  test("left by Ctrl-C, it says how to fetch the file later", async () => {
    const args = [MAIN, "image", "build", "app", "-t", IMAGE, "-o", "later.tar.gz"];
    const cli = spawn(process.execPath, args, { cwd: folder, env: environment() });
    let stderr = "";
    cli.stderr.on("data", (chunk) => {
      stderr += chunk;
    });
    const attempt = await world.agent.attempt();
    await attempt.say(["working"]);
    await until("it follows", () => stderr.includes("working"));
    cli.kill("SIGINT");
    const [code] = await once(cli, "close");
    assert.equal(code, 130, stderr);
    const file = `${world.edge.url}/builds/${attempt.build}/files/image.tar.gz`;
    assert.ok(stderr.includes(`curl -f -o later.tar.gz ${file}\n`), stderr);
    await attempt.finish({ outcome: "succeeded", digest: DIGEST });
  });

  test("a build that fails exits 1 and says why", async () => {
    const running = railhead("app", "-t", IMAGE);
    const attempt = await world.agent.attempt();
    const reason = "The command '/bin/sh -c false' returned a non-zero code: 1";
    await attempt.finish({ outcome: "failed", class: "build_error", reason });
    const { code, stdout, stderr } = await running;
    assert.equal(code, 1);
    assert.equal(stdout.toString(), "");
    assert.match(stderr, /The build failed: The command .* returned a non-zero code: 1/);
  });

  test("downloads the image as a file, without a push when told so", async () => {
    const running = railhead("app", "-t", IMAGE, "--no-push", "-o", "image.tar.gz", "--json");
    const attempt = await world.agent.attempt();
    assert.partialDeepStrictEqual(attempt.target, { push: false, tarball: true });
    const bytes = randomBytes(10_000);
    await attempt.upload("image.tar.gz", bytes);
    await attempt.finish({ outcome: "succeeded" });
    const { code, stdout, stderr } = await running;
    assert.equal(code, 0, stderr);
    assert.equal(JSON.parse(stdout.toString()).digest, null);
    assert.ok((await readFile(join(folder, "image.tar.gz"))).equals(bytes));
  });

  test("does not send the file that it wrote the last time", async () => {
    await writeFile(join(folder, "app/image.tar.gz"), "of the last time");
    const running = railhead("app", "-t", IMAGE, "-o", "app/image.tar.gz");
    const attempt = await world.agent.attempt();
    const files = await archiveFiles(Buffer.from(await (await attempt.context()).arrayBuffer()));
    assert.deepEqual([...files.keys()], [".dockerignore", "Dockerfile", "a", "docker/Other"]);
    await attempt.upload("image.tar.gz", randomBytes(10));
    await attempt.finish({ outcome: "succeeded", digest: DIGEST });
    assert.equal((await running).code, 0);
  });

  test("wrong usage is said in one line, before anything is sent", async () => {
    for (const [args, message] of [
      [["app"], /--tag/],
      [["nowhere", "-t", IMAGE], /nowhere is no folder/],
      [["app", "-t", "No/Image"], /"No\/Image" is no name of an image/],
      [["app", "-t", IMAGE, "-f", "config.json"], /outside/],
      [["app", "-t", IMAGE, "--no-push"], /--output/],
      [["app", "-t", IMAGE, "--no-wait", "-o", "x"], /--no-wait/],
      [["app", "-t", IMAGE, "--build-arg", "=x"], /--build-arg =x: it takes name=value/],
      [["app", "-t", IMAGE, "--label", "=x"], /--label =x: it takes name=value/],
      [["app", "-t", IMAGE, "--secret", "id=a,src=nowhere"], /nowhere cannot be read/],
      [["app", "-t", IMAGE, "--secret", "id=NOT_SET"], /NOT_SET is not set/],
      [["app", "-t", IMAGE, "--secret", "src=key"], /id=… is missing/],
      [["app", "-t", IMAGE, "--secret", "id=a,value=b"], /it takes id, src and env/],
    ] as const) {
      const { code, stderr } = await railhead(...args);
      assert.equal(code, 2, stderr);
      assert.match(stderr, message);
    }
    const refused = await railhead("app", "-t", IMAGE, "--build-arg", "a b=c");
    assert.equal(refused.code, 3);
    assert.match(refused.stderr, /build_arg\./);
    await until("no context is left", async () => (await world.contexts()).length === 0);
  });
});
