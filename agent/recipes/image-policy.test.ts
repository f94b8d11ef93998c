import assert from "node:assert/strict";
import { test } from "node:test";
import type { ImageTarget } from "../../shared/recipes/image.ts";
import { targetNeeds } from "../../shared/recipes/index.ts";
import { PLAIN_IMAGE } from "../../test/support/image-target.ts";
import { parseSettings } from "../config.ts";
import { imageRecipe } from "./image.ts";
import type { ImageRecipeSettings } from "./image-settings.ts";
import { recipes } from "./index.ts";

const TARGET: ImageTarget = {
  ...PLAIN_IMAGE,
  job: "0123456789abcdef0123456789abcdef",
  image: "registry.example/ns/app:1",
  source: { kind: "context", size: 1, sha256: "0".repeat(64) },
};

function recipe(settings: Partial<ImageRecipeSettings>) {
  return imageRecipe({
    builder: "classic",
    buildkit_network: "none",
    git_image: "golang:1",
    remotes: { "github.com": "https://github.com" },
    allow_addresses: [],
    max_bytes: 1,
    context_bytes: 1,
    allow_from: [],
    registries: [],
    cache_bytes: 0,
    ...settings,
  });
}

function refusal(target: Partial<ImageTarget>, settings: Partial<ImageRecipeSettings>) {
  return recipe(settings).refuses({ ...TARGET, ...target });
}

test("an agent pushes to the registries that its owner named, or to all", () => {
  assert.equal(refusal({}, {}), null);
  assert.equal(refusal({}, { registries: ["registry.example"] }), null);
  assert.match(
    refusal({}, { registries: ["other:5000"] }) ?? "",
    /to registry\.example.*other:5000/,
  );
  assert.match(refusal({ image: "ns/app" }, { registries: ["other"] }) ?? "", /index\.docker\.io/);
  assert.equal(refusal({ image: "ns/app" }, { registries: ["index.docker.io"] }), null);
  assert.equal(refusal({ push: false, tarball: true }, { registries: ["other"] }), null);
});

test("an agent fetches from the git hosts that its owner named", () => {
  const source = {
    kind: "git" as const,
    path: ["o", "r"],
    version: "v1.0.0",
    commit: "c".repeat(40),
  };
  assert.equal(refusal({ source: { ...source, remote: "github.com" } }, {}), null);
  assert.match(
    refusal({ source: { ...source, remote: "evil.example" } }, {}) ?? "",
    /evil\.example\/o\/r: its operator allows github\.com/,
  );
});

test("build secrets are for agents with BuildKit, which say so by a label", () => {
  const target = { ...TARGET, secret_ids: ["token"] };
  const [classic, buildkit] = [recipe({}), recipe({ builder: "buildkit" })];
  assert.match(
    classic.refuses(target) ?? "",
    /no build secrets: it builds with the classic builder/,
  );
  assert.equal(buildkit.refuses(target), null);
  assert.deepEqual(classic.labels?.(), {});
  assert.deepEqual(buildkit.labels?.(), targetNeeds(target));
  assert.deepEqual(targetNeeds(TARGET), {});
});

test("an owner who wants no image builds offers none", () => {
  const offered = (image: Record<string, unknown>) =>
    Object.keys(recipes(parseSettings({ image }, String), "/nowhere", null));
  assert.deepEqual(offered({}), ["go", "image"]);
  for (const enabled of [false, "false"]) assert.deepEqual(offered({ enabled }), ["go"]);
});
