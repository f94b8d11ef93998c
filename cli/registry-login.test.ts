import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { DOCKER_HUB } from "../shared/recipes/image.ts";
import { CliError } from "./errors.ts";
import { registryLogin } from "./registry-login.ts";

const VARIABLES = [
  "DOCKER_CONFIG",
  "PATH",
  "RAILHEAD_REGISTRY_USERNAME",
  "RAILHEAD_REGISTRY_PASSWORD",
];

describe("the login for a registry", () => {
  const before_ = Object.fromEntries(VARIABLES.map((name) => [name, process.env[name]]));
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "railhead-login-"));
    process.env.DOCKER_CONFIG = folder;
    process.env.PATH = `${folder}${delimiter}${process.env.PATH}`;
  });
  beforeEach(() => {
    delete process.env.RAILHEAD_REGISTRY_USERNAME;
    delete process.env.RAILHEAD_REGISTRY_PASSWORD;
  });
  after(async () => {
    for (const [name, value] of Object.entries(before_))
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    await rm(folder, { recursive: true });
  });

  const config = (content: unknown) =>
    writeFile(join(folder, "config.json"), JSON.stringify(content));
  const basic = (pair: string) => ({ auth: Buffer.from(pair).toString("base64") });

  test("without a file of Docker's there is none", async () => {
    assert.equal(await registryLogin("registry.example"), null);
  });

  test("is what docker login kept, for that registry alone", async () => {
    await config({
      auths: {
        "registry.example:5000": basic("u:p:w"),
        "https://index.docker.io/v1/": basic("h:x"),
      },
    });
    const found = await registryLogin("registry.example:5000");
    assert.deepEqual(found, { username: "u", password: "p:w" });
    assert.deepEqual(await registryLogin(DOCKER_HUB), { username: "h", password: "x" });
    assert.equal(await registryLogin("registry.example"), null);
  });

  test("comes from the helper that Docker's file names", async () => {
    const script = `#!/bin/sh
read -r registry
[ "$registry" = known.example ] && echo '{"ServerURL":"","Username":"u","Secret":"s"}' && exit 0
[ "$registry" = token.example ] && echo '{"ServerURL":"","Username":"<token>","Secret":"s"}' && exit 0
echo "credentials not found"; exit 1
`;
    await writeFile(join(folder, "docker-credential-test"), script, { mode: 0o755 });
    await config({ credsStore: "test", credHelpers: { "broken.example": "absent" } });
    assert.deepEqual(await registryLogin("known.example"), { username: "u", password: "s" });
    assert.equal(await registryLogin("other.example"), null);
    await assert.rejects(registryLogin("token.example"), /identity token/);
    await assert.rejects(registryLogin("broken.example"), /docker-credential-absent cannot be run/);
  });

  test("is what the environment says, before anything else", async () => {
    process.env.RAILHEAD_REGISTRY_USERNAME = "e";
    await assert.rejects(registryLogin("registry.example"), CliError);
    process.env.RAILHEAD_REGISTRY_PASSWORD = "f";
    assert.deepEqual(await registryLogin("known.example"), { username: "e", password: "f" });
  });
});
