import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { archiveFiles } from "../support/archive.ts";
import { type ImageStack, imagesWith, openImageStack } from "../support/image-stack.ts";
import { run } from "../support/process.ts";

const CLI = join(import.meta.dirname, "../../cli/bin.mjs");

describe("images by BuildKit", () => {
  let world: ImageStack;
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "railhead-buildkit-"));
    world = await openImageStack({
      agentSettings: { RAILHEAD_AGENT_IMAGE_BUILDER: "buildkit" },
    });
  });
  after(async () => {
    await world?.close();
    await rm(folder, { recursive: true });
  });

  test("a secret of the command line is read by a step, and is in no image, log or record", async () => {
    const marker = `marker-${randomBytes(8).toString("hex")}`;
    const secret = `secret-${randomBytes(16).toString("hex")}`;
    const name = world.freshName();
    const lines = [
      `FROM ${world.base}`,
      `ENV MARKER=${marker}`,
      // Printed whole it is redacted; what is left of it shows that the step had it.
      "RUN --mount=type=secret,id=token cat /run/secrets/token && head -c 9 /run/secrets/token >/part",
      "RUN cat /part && echo",
    ];
    await writeFile(join(folder, "Dockerfile"), `${lines.join("\n")}\n`);
    const args = ["image", "build", ".", "-t", `${name}:1`, "--json", "-o", "image.tar.gz"];
    const ran = await run(process.execPath, [CLI, ...args, "--secret", "id=token,env=TOKEN"], {
      cwd: folder,
      env: {
        ...process.env,
        HOME: folder,
        TOKEN: `${secret}\n`,
        RAILHEAD_URL: world.stack.url,
        RAILHEAD_REGISTRY_USERNAME: world.registry.username,
        RAILHEAD_REGISTRY_PASSWORD: world.registry.password,
      },
    });
    assert.equal(ran.code, 0, ran.stderr);
    const record = JSON.parse(ran.stdout.toString());
    assert.equal(record.digest, await world.pushed(name, "1"));
    const log = await world.stack.log(record.build_id);
    const said = log.map(({ msg }) => msg);
    assert.ok(said.includes(secret.slice(0, 9)), said.join("\n"));
    assert.ok(said.includes("***"), said.join("\n"));
    assert.ok(said.includes("saving image..."), said.join("\n"));
    assert.ok(said.some((line) => /^#\d+ \[\d\/\d\] RUN cat \/part/.test(line)));
    assert.ok(!JSON.stringify([record, log, ran.stderr]).includes(secret));
    const bytes = await world.stack.bytes(world.stack.path(record.artifact));
    for (const [file, content] of await archiveFiles(bytes)) {
      assert.ok(!content.includes(secret), file);
      assert.ok(!content.includes(record.build_id), file);
    }
    assert.deepEqual(await imagesWith(marker), []);
    assert.deepEqual(await imagesWith(name), []);
  });

  test("a cancelled build ends as such, and leaves no image", async () => {
    const marker = `marker-${randomBytes(8).toString("hex")}`;
    const job = await world.post({
      image_name: world.freshName(),
      dockerfile: `FROM ${world.base}\nENV MARKER=${marker}\nRUN echo started; sleep 600\n`,
      push: false,
      tarball: true,
    });
    await world.says(job, /^started$/);
    await world.stack.cancel(job);
    const { record } = await world.stack.ended(job);
    assert.equal(record.state, "cancelled");
    assert.deepEqual(await imagesWith(marker), []);
  });
});
