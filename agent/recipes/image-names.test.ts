import assert from "node:assert/strict";
import { test } from "node:test";
import { isAllowed, parseBaseName } from "./image-names.ts";

const HEX = "a".repeat(64);
const NAMES: [string, string | null, string | null][] = [
  ["debian", "debian:latest", null],
  ["debian:trixie", "debian:trixie", null],
  ["library/debian", "debian:latest", null],
  ["docker.io/debian", "debian:latest", null],
  ["docker.io/library/debian:1", "debian:1", null],
  ["index.docker.io/ns/app", "ns/app:latest", null],
  ["localhost/app", "localhost/app:latest", "localhost"],
  ["registry.example:5000/ns/app:2", "registry.example:5000/ns/app:2", "registry.example:5000"],
  [`debian@sha256:${HEX}`, `debian@sha256:${HEX}`, null],
  [`docker.io/debian:1@sha256:${HEX}`, `debian@sha256:${HEX}`, null],
  ["Debian", null, null],
  ["debian@sha256:abc", null, null],
  ["a b", null, null],
  ["", null, null],
];
test("one image has one name, however it is spelled", () => {
  for (const [text, name, registry] of NAMES) {
    const parsed = parseBaseName(text);
    assert.equal(parsed?.name ?? null, name, text);
    assert.equal(parsed?.registry ?? null, registry, text);
  }
});

test("an operator allows repositories and their beginnings", () => {
  const allowed = (text: string, words: string[]) => {
    const name = parseBaseName(text);
    return name !== null && isAllowed(name, words);
  };
  assert.ok(allowed("anything", []));
  assert.ok(allowed("docker.io/library/debian:1", ["debian"]));
  assert.ok(!allowed("debian-evil", ["debian"]));
  assert.ok(allowed("registry.example/base/go", ["registry.example/base/"]));
  assert.ok(!allowed("registry.example/based", ["registry.example/base/"]));
});
