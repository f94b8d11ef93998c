import assert from "node:assert/strict";
import { createReadStream } from "node:fs";
import { request } from "node:http";
import { text } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import { makeBaseImage } from "../../test/support/base-image.ts";
import { DOCKER_SOCKET, engine } from "../../test/support/engine.ts";
import { imagesWith } from "../../test/support/image-stack.ts";
import {
  type ImageEnd,
  type ImageRequest,
  type ImageWorld,
  imageWorld,
} from "../../test/support/image-world.ts";
import { builtImage } from "../docker/contracts.ts";
import { RecipeFailure } from "./contracts.ts";

let world: ImageWorld;
before(async () => {
  world = await imageWorld();
});
after(() => world[Symbol.asyncDispose]());

function pushed(image: string): Promise<string | null> {
  const [repository = "", tag = ""] = image.slice(world.registry.name.length + 1).split(":");
  return world.registry.digest(repository, tag);
}

function lines({ log }: ImageEnd, stream: "stdout" | "stderr" = "stdout"): string[] {
  return log.filter((line) => line.stream === stream).map(({ msg }) => msg);
}

/** `docker load` */
async function loadImage(file: string): Promise<void> {
  const said = await new Promise<string>((resolve, reject) => {
    const options = { socketPath: DOCKER_SOCKET, method: "POST", path: "/images/load" };
    const call = request(options, (response) => resolve(text(response)));
    call.on("error", reject);
    createReadStream(file).pipe(call);
  });
  assert.match(said, /Loaded image/);
}

/** Asserts how a build failed, and that the host is as before. */
function assertFailed(end: ImageEnd, endClass: string, reason: RegExp): void {
  assert.equal(end.failure?.class, endClass, end.failure?.message);
  assert.match(end.failure?.message ?? "", reason);
  assert.deepEqual(end.left, []);
}

test("a Dockerfile becomes an image in the registry under its digest, and nothing stays on the host", async () => {
  const image = world.name();
  const context = `FROM ${world.base}\nRUN echo made >/made; echo oops >&2\nCMD ["cat", "/made"]\n`;
  const end = await world.build({ image, context });
  assert.equal(end.failure, null);
  assert.match((await pushed(image)) ?? "", /^sha256:/);
  assert.equal(end.outcome?.digest, await pushed(image));
  assert.ok(
    lines(end).some((line) => line.startsWith("Step 1/")),
    lines(end).join("\n"),
  );
  assert.deepEqual(lines(end, "stderr"), ["oops"]);
  assert.deepEqual(end.left, []);
});

test("a failing RUN ends the build with the engine's own message, and leaves no image of a step", async () => {
  const end = await world.build({
    context: `FROM ${world.base}\nRUN echo one >/one\nRUN exit 42\n`,
  });
  assertFailed(end, "build_error", /returned a non-zero code: 42/);
});

test("a wrong password ends in push_error after the build, and leaves no image", async () => {
  const registry = { username: "pusher", password: "not-this-one" };
  const end = await world.build({ context: `FROM ${world.base}\n`, credential: { registry } });
  assertFailed(end, "push_error", /unauthorized|authentication/);
});

test("nothing is pushed before the Build permits it", async () => {
  const image = world.name();
  const permit = async () => {
    assert.equal(await pushed(image), null);
    throw new RecipeFailure("cancelled", "the Build says no");
  };
  const end = await world.build({ image, context: `FROM ${world.base}\n`, permit });
  assertFailed(end, "cancelled", /says no/);
  assert.equal(await pushed(image), null);
});

test("a base image from the private registry is pulled with the login, stays for those who have it, and no longer than the cache", async () => {
  const secret = world.name();
  const made = await world.build({
    image: secret,
    context: `FROM ${world.base}\nRUN echo secret >/s\n`,
  });
  assert.equal(made.failure, null);
  assert.equal(await world.docker.host.imageId(secret), null);
  const context = `FROM ${secret}\nRUN cat /s\n`;
  const allowed = await world.build({ context });
  assert.equal(allowed.failure, null);
  assert.ok(lines(allowed).includes("secret"));
  assert.notEqual(await world.docker.host.imageId(secret), null);
  const stranger = await world.build({
    context,
    credential: { registry: null },
    push: false,
    tarball: true,
  });
  assert.equal(stranger.failure?.class, "build_error");
  assert.match(stranger.failure?.message ?? "", /unauthorized|authentication|no basic auth/);
  assert.equal((await world.build({ context })).failure, null);
  await world.docker.host.images.trim(0);
  assert.equal(await world.docker.host.imageId(secret), null);
});

test("a base image is no way to an address of the host: ONBUILD is read too", async () => {
  const trap = await makeBaseImage(["ONBUILD ADD http://127.0.0.1:1/x /x"]);
  try {
    const end = await world.build({ context: `FROM ${trap.name}\n` });
    assertFailed(end, "dockerfile_refused", /base image .* the engine itself would fetch it/);
  } finally {
    await trap.remove();
  }
});

test("an image by its id, or another build's, is nobody's base, and its name nobody's to take", async () => {
  const id = (await world.docker.host.imageId(world.base)) ?? "";
  const byId = await world.build({
    context: `FROM ${id.slice("sha256:".length, "sha256:".length + 12)}\n`,
  });
  assert.equal(byId.failure?.class, "build_error", byId.failure?.message);
  const owner = world.docker.owner();
  for (const line of [
    `FROM ${builtImage(owner)}`,
    `FROM scratch\nCOPY --from=${builtImage(owner)} / /`,
  ])
    assertFailed(await world.build({ context: line }), "dockerfile_refused", /does not build upon/);
  const image = builtImage(owner);
  assertFailed(
    await world.build({ image, context: "FROM scratch\n" }),
    "push_error",
    /no registry/,
  );
});

test("the owner's policy decides what may be built upon and pushed to", async () => {
  const context = `FROM ${world.base}\n`;
  const end = await world.build({
    context,
    settings: { allow_from: ["debian", "registry.example/"] },
  });
  assertFailed(end, "dockerfile_refused", /its owner allows debian, registry.example\//);
  const args = { http_proxy: "http://evil:1" };
  assertFailed(await world.build({ context, args }), "dockerfile_refused", /http_proxy/);
});

test("the builder image of other recipes cannot be replaced by calling an image so", async () => {
  const before = await world.docker.host.imageId(world.docker.image);
  const end = await world.build({ image: world.docker.image, context: `FROM ${world.base}\n` });
  assert.equal(end.failure?.class, "push_error");
  assert.match(end.failure?.message ?? "", /an image of its own/);
  assert.equal(await world.docker.host.imageId(world.docker.image), before);
});

test("two builds of one name at once push an image each, and each digest is its own", async () => {
  const image = world.name();
  const ends = await Promise.all(
    ["one", "two"].map((word) =>
      world.build({ image, context: `FROM ${world.base}\nRUN echo ${word} >/word\n` }),
    ),
  );
  const digests = ends.map(({ failure, outcome }) => {
    assert.equal(failure, null, failure?.message);
    return outcome?.digest;
  });
  assert.notEqual(digests[0], digests[1]);
  assert.ok(digests.includes((await pushed(image)) ?? ""));
  for (const what of [image, ...ends.map(({ owner }) => owner.build)])
    assert.deepEqual(await imagesWith(what), []);
});

test("layers are taken from an image that cache_from names, and a missing one costs a word in the log", async () => {
  const image = world.name();
  const context = { Dockerfile: "", file: "x" };
  const build = (more: object = {}) =>
    world.build({
      image,
      context: { ...context, Dockerfile: `FROM ${world.base}\nRUN echo slow >/a\nCOPY file /\n` },
      mark: "same",
      ...more,
    });
  assert.equal((await build()).failure, null);
  const again = await build({ cache_from: [image, `${world.registry.name}/tests/none:1`] });
  assert.equal(again.failure, null, again.failure?.message);
  assert.ok(lines(again).includes(" ---> Using cache"), lines(again).join("\n"));
  assert.ok(
    again.log.some(
      ({ msg, level }) => level === "warning" && /No layers are taken from .*none:1/.test(msg),
    ),
  );
  await world.docker.host.images.trim(0);
  assert.equal(await world.docker.host.imageId(image), null);
});

test("a context that is not what was posted is not built", async () => {
  const source = { kind: "context" as const, size: 3, sha256: "0".repeat(64) };
  const end = await world.build({ source, posted: "abc" });
  assertFailed(end, "storage", /damaged/);
});

test("a tarball takes no name on the host: loaded there, the same image is built again", async () => {
  const image = world.name();
  const context = `FROM ${world.base}\nRUN echo made >/made\n`;
  const tarball = () => world.build({ image, context, push: false, tarball: true });
  const first = await tarball();
  assert.equal(first.failure, null, first.failure?.message);
  const [made] = first.outcome?.made ?? [];
  await loadImage(made?.file ?? "");
  try {
    const loaded = await world.docker.host.images.inspect(image);
    assert.ok(loaded?.names.includes(image), "the tarball names its image");
    assert.equal((await tarball()).failure, null);
    assert.equal(await world.docker.host.imageId(image), loaded?.id);
    const pushing = await world.build({ image, context });
    assert.equal(pushing.failure?.class, "push_error");
    assert.match(pushing.failure?.message ?? "", /an image of its own .* Choose another name/);
    assert.deepEqual(pushing.log, [], "told before anything was done");
  } finally {
    await engine("DELETE", `/images/${image}`);
  }
});

describe("with BuildKit", () => {
  const settings = { builder: "buildkit" as const };
  const buildkit = (request: ImageRequest) => world.build({ settings, ...request });

  test("an image is built with a secret and pushed, and nothing stays on the host", async () => {
    const image = world.name();
    const value = "secret-of-this-build";
    const end = await buildkit({
      image,
      context: {
        Dockerfile: `FROM ${world.base}\nCOPY file /\nRUN --mount=type=secret,id=token cat /file /run/secrets/token\n`,
        file: "content\n",
      },
      credential: { secrets: [{ id: "token", value: `${value}\n` }] },
      secret_ids: ["token"],
      cache_from: [image],
    });
    assert.equal(end.failure, null, end.failure?.message);
    assert.ok(lines(end).includes("content") && lines(end).includes(value));
    assert.ok(lines(end).some((line) => /^#\d+ \[\d\/\d\] COPY file \/$/.test(line)));
    assert.ok(end.log.some(({ msg, level }) => level === "warning" && /No layers/.test(msg)));
    assert.equal(end.outcome?.digest, await pushed(image));
    assert.deepEqual(end.left, []);
  });

  test("a base image comes from the private registry, for those who have the login", async () => {
    const base = world.name();
    const made = await buildkit({ image: base, context: `FROM ${world.base}\nRUN echo x >/s\n` });
    assert.equal(made.failure, null, made.failure?.message);
    const context = `FROM ${world.base}\nRUN --mount=from=${base},target=/b cat /b/s >/s\nCOPY --from=${base} /s /t\n`;
    const end = await buildkit({ context });
    assert.equal(end.failure, null, end.failure?.message);
    const login = { registry: null };
    const stranger = await buildkit({ context, credential: login, push: false, tarball: true });
    assertFailed(stranger, "build_error", /unauthorized|authentication|no basic auth/);
    await world.docker.host.images.trim(0);
  });

  test("a failing step, a refused mount, and an argument that steers the builder end the build", async () => {
    const fails = await buildkit({ context: `FROM ${world.base}\nRUN exit 42\n` });
    assertFailed(fails, "build_error", /exit code: 42/);
    const ssh = await buildkit({ context: `FROM ${world.base}\nRUN --mount=type=ssh true\n` });
    assertFailed(ssh, "dockerfile_refused", /of mounts this agent has bind, cache, secret, tmpfs/);
    const args = { BUILDKIT_SYNTAX: "evil/frontend" };
    const steered = await buildkit({ context: `FROM ${world.base}\n`, args });
    assertFailed(steered, "dockerfile_refused", /BUILDKIT_SYNTAX/);
  });
});
