import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { buffer } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { pack } from "tar-stream";
import type { EndClass } from "../../shared/builds.ts";
import { contextOf, type ImageStack, imagesWith, openImageStack } from "../support/image-stack.ts";

const MIB = 1024 ** 2;

describe("an image that cannot be made", () => {
  let world: ImageStack;

  before(async () => {
    world = await openImageStack({
      agentSettings: { RAILHEAD_AGENT_LIMITS_DISK: "64m", RAILHEAD_AGENT_IMAGE_MAX: "32m" },
    });
  });
  after(() => world?.close());

  /** Builds what must fail; asserts how, and that nothing is left. */
  async function fails(
    fields: Record<string, unknown>,
    endClass: EndClass,
    reason: RegExp,
  ): Promise<void> {
    const marker = `marker-${randomBytes(8).toString("hex")}`;
    const named = { image_name: world.freshName(), ...world.login, ...fields };
    const filled = JSON.parse(JSON.stringify(named).replaceAll("MARKER", marker));
    const job = await world.post(filled);
    const { record, log } = await world.stack.ended(job);
    assert.equal(record.state, "failed");
    assert.match(record.reason ?? "", reason);
    assert.equal(record.class, endClass, record.reason ?? "");
    assert.equal(await world.status(job), `Failed: ${record.reason}`);
    assert.equal(record.digest, null);
    assert.deepEqual(await imagesWith(marker), []);
    assert.deepEqual(await imagesWith(filled.image_name), []);
    const { password } = world.registry;
    assert.ok(!JSON.stringify([record, log]).includes(password), "the password shows");
  }

  const base64 = async (files: Record<string, string>) =>
    (await contextOf(files)).toString("base64");
  const dockerfile = (...lines: string[]) =>
    [`FROM ${world.base}`, "ENV MARKER=MARKER", ...lines, ""].join("\n");

  test("a command of it fails: the engine's own words, and its exit status", async () => {
    const reason = /returned a non-zero code: 7/;
    await fails({ dockerfile: dockerfile("RUN echo before; exit 7") }, "build_error", reason);
  });

  test("its base image does not exist", async () => {
    const from = { dockerfile: `FROM ${world.registry.name}/tests/nothing:here\n` };
    await fails(from, "build_error", /nothing/);
  });

  test("it came with secrets, and no agent has BuildKit", async () => {
    const fields = { dockerfile: dockerfile("RUN true"), secrets: { token: "secret-word" } };
    await fails(fields, "agent_refused", /^Build secrets need an agent with BuildKit/);
  });

  test("its Dockerfile is missing, or is none", async () => {
    await fails({ tarfile: await base64({ a: "b" }) }, "context_error", /Dockerfile/);
    const elsewhere = { tarfile: await base64({ a: "b" }), dockerfile_path: "docker/x" };
    await fails(elsewhere, "context_error", /docker\/x/);
    await fails({ dockerfile: "NONSENSE\n" }, "build_error", /NONSENSE|unknown instruction/i);
  });

  test("its context is no tar, leaves its folder, or is a bomb", async () => {
    const garbage = randomBytes(2_000).toString("base64");
    await fails({ tarfile: garbage }, "context_error", /tar/);
    const cut = (await contextOf({ Dockerfile: dockerfile(), a: "x".repeat(5_000) })).subarray(
      0,
      3_000,
    );
    await fails({ tarfile: cut.toString("base64") }, "context_error", /tar|cut|end/);
    for (const name of ["../evil", "/etc/evil", "a/../../evil"])
      await fails(
        { tarfile: await base64({ Dockerfile: dockerfile(), [name]: "x" }) },
        "context_error",
        /evil/,
      );
    const tar = pack();
    tar.entry({ name: "Dockerfile" }, dockerfile());
    tar.entry({ name: "zeros" }, Buffer.alloc(100 * MIB));
    tar.finalize();
    const bomb = gzipSync(await buffer(tar));
    assert.ok(bomb.length < MIB);
    await fails({ tarfile: bomb.toString("base64") }, "context_error", /64/);
  });

  test("its tar is not at its URL, or at a private address, by way of a redirect too", async () => {
    await fails({ tarUrl: world.url("/nothing.tar") }, "context_error", /404/);
    const [host] = world.registry.name.split(":");
    await fails({ tarUrl: `http://${host}/x.tar` }, "context_error", /address/);
    await fails({ tarUrl: "http://169.254.169.254/latest/" }, "context_error", /address/);
    world.pages.set("/inside", { location: "http://10.0.0.1/x.tar" });
    await fails({ tarUrl: world.url("/inside") }, "context_error", /address/);
    world.pages.set("/round", { location: world.url("/round") });
    await fails({ tarUrl: world.url("/round") }, "context_error", /redirect/);
    world.pages.set("/page.html", Buffer.from("<html>no tar</html>"));
    await fails({ tarUrl: world.url("/page.html") }, "context_error", /tar/);
  });

  test("it would have the engine fetch something from inside the host's network", async () => {
    const url = world.url("/nothing.tar");
    for (const lines of [
      [`ADD ${url} /x`],
      [`ENV U=${url}`, "ADD $U /x"],
      [`ARG U=${url}`, `ADD \${U} /x`],
      ["ADD git@github.com:o/r.git /x"],
      [`ADD \\`, `  ${url} /x`],
      [`ADD ["${url}", "/x"]`],
      [`ONBUILD ADD ${url} /x`],
    ])
      await fails({ dockerfile: dockerfile(...lines) }, "dockerfile_refused", /ADD/);
    const frontend = `# syntax=docker/dockerfile:1\n${dockerfile()}`;
    await fails({ dockerfile: frontend }, "dockerfile_refused", /syntax/);
  });

  test("the registry does not take the login, or there is none", async () => {
    await fails(
      { dockerfile: dockerfile(), password: "wrong" },
      "push_error",
      /unauthorized|denied/,
    );
    const anonymous = { dockerfile: dockerfile(), username: null, password: null };
    await fails(anonymous, "push_error", /credentials|unauthorized|denied/);
  });

  test("the registry cannot be reached", async () => {
    const [host] = world.registry.name.split(":");
    const image_name = `${host}:9/tests/nowhere`;
    await fails({ image_name, dockerfile: dockerfile() }, "push_error", /refused/);
  });

  test("it is larger than the agent's owner allows", async () => {
    const lines = dockerfile("RUN dd if=/dev/zero of=/big bs=1M count=50 2>/dev/null");
    await fails({ dockerfile: lines }, "image_too_large", /32/);
  });
});
