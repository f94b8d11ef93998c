import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { type AppOptions, openApps, projectOf } from "./app-settings.ts";
import { PROJECT_FILE } from "./project-file.ts";
import { writeLogin } from "./settings.ts";

const VARIABLES = ["RAILHEAD_URL", "RAILHEAD_TOKEN", "PEROKU_TOK", "XDG_CONFIG_HOME"];

describe("where a project is deployed, and with what token", () => {
  let folder: string;
  let server: Server;
  /** Two addresses, both answered by it. */
  let here: string;
  let there: string;
  let shown: string;
  const kept = VARIABLES.map((name) => [name, process.env[name]] as const);

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "railhead-settings-"));
    server = createServer(({ headers }, response) => {
      shown = headers.authorization?.replace("Bearer ", "") ?? "none";
      response.setHeader("content-type", "application/json").end("[]");
    });
    server.listen(0, "localhost");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    here = `http://localhost:${port}`;
    there = `${here}/there`;
  });
  after(async () => {
    server.close();
    for (const [name, value] of kept)
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    await rm(folder, { recursive: true });
  });
  beforeEach(async () => {
    for (const name of VARIABLES) delete process.env[name];
    process.env.XDG_CONFIG_HOME = await mkdtemp(join(folder, "home-"));
    await write({});
    await writeFile(join(folder, "token"), "of-the-option\n");
  });

  async function write(file: object) {
    await writeFile(join(folder, PROJECT_FILE), JSON.stringify(file));
  }

  /** Address, and the token that it is shown. */
  async function asked(options: Partial<AppOptions> = {}): Promise<[url: string, token: string]> {
    const { client } = await openApps({ program: "railhead", ...options }, folder);
    await client.list();
    return [client.edge.url, shown];
  }

  test("options count before the file, the file before the environment, that before a login", async () => {
    await writeLogin({ url: here, token: "of-the-login" });
    assert.deepEqual(await asked(), [here, "of-the-login"]);
    Object.assign(process.env, { RAILHEAD_URL: there, RAILHEAD_TOKEN: "of-the-environment" });
    assert.deepEqual(await asked(), [there, "of-the-environment"]);
    process.env.PEROKU_TOK = "of-peroku";
    assert.deepEqual(await asked(), [there, "of-peroku"]);
    await write({ peroku: here, token: "of-the-file" });
    assert.deepEqual(await asked(), [here, "of-the-file"]);
    const tokenFile = join(folder, "token");
    assert.deepEqual(await asked({ url: there, tokenFile }), [there, "of-the-option"]);
  });

  test("a token is shown to the address that it was given for, and to no other", async () => {
    await write({ peroku: here, token: "of-the-file" });
    assert.deepEqual(await asked({ url: there }), [there, "none"]);
    await write({ peroku: here });
    Object.assign(process.env, { RAILHEAD_URL: there, RAILHEAD_TOKEN: "of-the-environment" });
    assert.deepEqual(await asked(), [here, "none"]);
    await writeLogin({ url: there, token: "of-the-login" });
    assert.deepEqual(await asked(), [here, "none"]);
  });

  test("an address without a token asks for the one in PEROKU_TOK, as in CI", async () => {
    await write({ peroku: here });
    process.env.PEROKU_TOK = "of-peroku";
    assert.deepEqual(await asked(), [here, "of-peroku"]);
  });

  test("without an address or a project it is said where they may stand", async () => {
    await assert.rejects(
      asked(),
      /"peroku" in \.peroku\.json, --url .*RAILHEAD_URL, or railhead login/,
    );
    assert.throws(
      () => projectOf({ program: "railhead" }, {}),
      /"project" in \.peroku\.json, or --project/,
    );
    // perok has no options.
    assert.throws(
      () => projectOf({ program: "perok" }, {}),
      /"project" in \.peroku\.json, in this folder\.$/,
    );
    assert.equal(projectOf({ program: "perok", project: "b" }, { project: "a" }), "b");
  });
});
