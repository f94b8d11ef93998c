import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { PLAIN_IMAGE } from "../../test/support/image-target.ts";
import { FRAME_BYTES } from "../limits.ts";
import { parseControlDown } from "../protocol.ts";
import {
  type ImageTarget,
  imageArtifactPath,
  imageTargetKey,
  imageTargetSchema,
  parseImageName,
} from "./image.ts";

const JOB = "0123456789abcdef0123456789abcdef";
const TARGET: ImageTarget = {
  ...PLAIN_IMAGE,
  job: JOB,
  image: "team/app:1",
  source: { kind: "context", size: 1, sha256: "a".repeat(64) },
};

const takes = (more: Partial<Record<keyof ImageTarget, unknown>>) =>
  imageTargetSchema.safeParse({ ...TARGET, ...more }).success;

describe("an image's name", () => {
  test("goes to the registry before its first slash when that looks like a host, else to Docker Hub", () => {
    const hub = "index.docker.io";
    for (const [text, registry, repository, tag, reference = text] of [
      ["debian", hub, "library/debian", "latest", "debian:latest"],
      ["namespace/image", hub, "namespace/image", "latest", "namespace/image:latest"],
      ["namespace/image:1.0", hub, "namespace/image", "1.0"],
      [
        "private.repo/namespace/image",
        "private.repo",
        "namespace/image",
        "latest",
        "private.repo/namespace/image:latest",
      ],
      ["localhost/a", "localhost", "a", "latest", "localhost/a:latest"],
      ["localhost:5000/a:b", "localhost:5000", "a", "b"],
      ["host:5000/a/b/c_d__e-f.g:V_1", "host:5000", "a/b/c_d__e-f.g", "V_1"],
      ["a.b:c", hub, "library/a.b", "c"],
      ["localhost:5000", hub, "library/localhost", "5000"],
    ] as const)
      assert.deepEqual(parseImageName(text), { registry, repository, tag, reference }, text);
  });

  test("is refused when Docker would refuse it", () => {
    for (const text of [
      "",
      "/a",
      "a/",
      "a//b",
      "A/b",
      "a/B:c",
      "a:",
      "a:-b",
      `a:${"t".repeat(129)}`,
      "a b",
      "a:b:c",
      "a/b\n",
      "-a/b",
      "a..b/c",
      "host:port/a",
      "host:99999999/a",
      "-x.example/a",
      "http://a.example/b",
      "../a",
      `a@sha256:${"d".repeat(64)}`,
      `a/${"b".repeat(600)}`,
    ])
      assert.equal(parseImageName(text), null, JSON.stringify(text));
  });
});

describe("an image's target", () => {
  test("is named by its job, and shown where its file or its build is", () => {
    assert.equal(imageTargetKey(TARGET), `image/${JOB}`);
    assert.equal(imageArtifactPath(TARGET), `/builds/${JOB}`);
    const tarball = { ...TARGET, tarball: true };
    assert.equal(imageArtifactPath(tarball), `/builds/${JOB}/files/image.tar.gz`);
  });

  test("takes a Dockerfile and a stage inside the context alone", () => {
    for (const dockerfile of ["Dockerfile", "a/b/Dockerfile.prod", "a b", "..a"])
      assert.ok(takes({ dockerfile }), dockerfile);
    for (const dockerfile of ["", "/etc/passwd", "../x", "a/../b", "./a", "a//b", "a/"])
      assert.ok(!takes({ dockerfile }), dockerfile);
    for (const stage of ["final", "0", "a.b_c-d"]) assert.ok(takes({ stage }), stage);
    for (const stage of ["", "-a", "a b"]) assert.ok(!takes({ stage }), stage);
  });

  test("fits the frame that assigns it, whatever its arguments and labels are", () => {
    const longest = Object.fromEntries(
      Array.from({ length: 7 }, (_, i) => [`name${i}`, "\u0001".repeat(770)]),
    );
    const secret_ids = Array.from({ length: 32 }, (_, i) => `${i}`.padStart(128, "_"));
    const target = { ...TARGET, args: longest, labels: longest, secret_ids };
    assert.ok(takes(target));
    assert.ok(!takes({ secret_ids: [...secret_ids, "one-more"] }));
    assert.ok(!takes({ args: { a: "x".repeat(4_097) } }));
    const many = Array.from({ length: 20 }, (_, i) => [`name${i}`, "x".repeat(2_000)]);
    assert.ok(!takes({ args: Object.fromEntries(many) }));
    const frame = JSON.stringify({
      t: "assign",
      build: JOB,
      attempt: 1,
      lease: "a".repeat(64),
      deadline_ms: 1,
      target,
    });
    assert.ok(frame.length < FRAME_BYTES);
    assert.ok("frame" in parseControlDown(frame));
  });
});
