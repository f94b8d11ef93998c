import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import type { ImageTarget } from "../../shared/recipes/image.ts";
import { archiveFiles } from "../support/archive.ts";
import { must } from "../support/process.ts";
import { DIGEST, DOCKERFILE, gzip, type ImageWorld, openImageWorld, tarOf } from "./images.ts";

describe("the requests of tutum-builder's README, sent with curl", { timeout: 120_000 }, () => {
  let world: ImageWorld;
  let folder: string;

  before(async () => {
    world = await openImageWorld();
    folder = await mkdtemp(join(tmpdir(), "railhead-readme-"));
  });
  after(async () => {
    await world.close();
    await rm(folder, { recursive: true });
  });

  const curl = (path: string, ...args: string[]) =>
    must("curl", ["-sS", `${world.edge.url}${path}`, ...args], { cwd: folder });

  const LOGIN = '"username": "user",\n\t"password": "password",\n\t"email": "asdasd@gmail.com"';

  /** Takes the attempt that an answer is about, and lets it succeed. */
  async function succeed(answer: string) {
    assert.match(answer, /^\{\n {2}"JobIdentifier": "[0-9a-f-]{36}"\n\}$/);
    const job: string = JSON.parse(answer).JobIdentifier;
    const attempt = await world.agent.attempt();
    assert.equal(attempt.build, job.replaceAll("-", ""));
    const context = await attempt.context();
    const bytes = context.ok ? Buffer.from(await context.arrayBuffer()) : null;
    assert.equal(await curl(`/api/v1/${job}/status`), '{\n  "Status": "Building"\n}');
    assert.equal(await curl(`/api/v1/${job}/logs`), '{\n  "Logs": "Fetching logs..."\n}');
    await attempt.say(["Step 1/2 : FROM ubuntu:saucy"]);
    await attempt.finish({ outcome: "succeeded", digest: DIGEST });
    assert.equal(await curl(`/api/v1/${job}/status`), '{\n  "Status": "Finished"\n}');
    assert.match(await curl(`/api/v1/${job}/logs`), /^\{\n {2}"Logs": "Step 1\/2 .*"\n\}$/);
    assert.deepEqual(JSON.parse(attempt.credentials[0] ?? "").registry, {
      username: "user",
      password: "password",
    });
    return { target: attempt.target as ImageTarget, bytes };
  }

  test("a Dockerfile", async () => {
    const body = `{
\t"image_name": "namespace/image",
\t${LOGIN},
\t"dockerfile": "FROM ubuntu:saucy\\nCMD echo \\"Hello world\\""
\t}`;
    const { target, bytes } = await succeed(await curl("/api/v1/build", "-X", "POST", "-d", body));
    assert.equal(target.image, "namespace/image:latest");
    const files = await archiveFiles(await gzip(bytes as Buffer));
    assert.equal(files.get("Dockerfile")?.toString(), 'FROM ubuntu:saucy\nCMD echo "Hello world"');
  });

  test("a URL", async () => {
    const body = `{
\t"image_name": "namespace/image",
\t${LOGIN},
\t"tarUrl": "tarmusthaveadockerfile.com/files/hello-world.tar.gz"
\t}`;
    const answer = await curl("/api/v1/build", "-H", "Content-Type: application/json", "-d", body);
    const { target } = await succeed(answer);
    const url = "http://tarmusthaveadockerfile.com/files/hello-world.tar.gz";
    assert.deepEqual(target.source, { kind: "url", url });
  });

  test("multipart, with the tar and the JSON as files", async () => {
    const tar = gzipSync(await tarOf({ Dockerfile: DOCKERFILE }));
    await writeFile(join(folder, "dockertarexample.tar.gz"), tar);
    const json = `{\n\t"image_name": "namespace/image",\n\t${LOGIN}\n\t}`;
    await writeFile(join(folder, "postmantest.json"), json);
    const { bytes } = await succeed(
      await curl(
        "/api/v1/build",
        "-H",
        "Cache-Control: no-cache",
        "-F",
        "TarFile=@dockertarexample.tar.gz;type=application/x-gzip",
        "-F",
        "Json=@postmantest.json;type=application/json",
      ),
    );
    assert.ok(bytes?.equals(tar));
  });
});
