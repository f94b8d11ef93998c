import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { parse } from "smol-toml";
import { homeFolder, loadSettings, parseSettings, settingKeys } from "./config.ts";
import { AgentExit } from "./errors.ts";

const EXAMPLE = readFileSync(new URL("agent.example.toml", import.meta.url), "utf8");

function withHome<T>(toml: string | null, body: (home: string) => T): T {
  const home = mkdtempSync(join(tmpdir(), "railhead-config-"));
  try {
    if (toml !== null) writeFileSync(join(home, "agent.toml"), toml);
    return body(home);
  } finally {
    rmSync(home, { recursive: true });
  }
}

function complaint(toml: string | null, env: Record<string, string> = {}): string {
  return withHome(toml, (home) => {
    try {
      loadSettings(home, env);
    } catch (error) {
      assert.ok(error instanceof AgentExit);
      assert.equal(error.status, 2);
      assert.ok(!error.message.includes("\n"), "one line");
      return error.message.replace(home, "HOME");
    }
    return assert.fail("the settings were taken");
  });
}

test("without a file every setting has its default", () => {
  const settings = withHome(null, (home) => loadSettings(home, {}));
  assert.equal(settings.images.go, "golang:1");
  assert.equal(settings.build_network, "none");
  assert.equal(settings.remotes["github.com"], "https://github.com");
  assert.equal(settings.limits.time_ms, 30 * 60_000);
});

test("the example file parses, names every setting, and shows the defaults", () => {
  const place = (key: string) => key;
  const defaults = parseSettings({}, place);
  assert.deepEqual(parseSettings(parse(EXAMPLE), place), defaults);
  const shown = parse(EXAMPLE.replace(/^#(?=[a-z_]+ = )/gm, ""));
  for (const key of settingKeys().filter((key) => key !== "labels")) {
    const [table, leaf] = key.split(".") as [string, string?];
    const value = shown[table];
    assert.ok(
      leaf === undefined ? value !== undefined : leaf in (value as object),
      `${key} is in the example`,
    );
  }
  const parsed = parseSettings(shown, place);
  const ofTheHost = { cpus: defaults.limits.cpus, memory_bytes: defaults.limits.memory_bytes };
  assert.deepEqual(
    { ...parsed, limits: { ...parsed.limits, ...ofTheHost } },
    { ...defaults, capacity: 1, labels: { zone: "eu" } },
  );
});

test("the environment wins over the file and an option over both", () => {
  const settings = withHome('capacity = 3\n[limits]\nmemory = "1g"\npids = 99\n', (home) =>
    loadSettings(
      home,
      {
        RAILHEAD_AGENT_CAPACITY: "4",
        RAILHEAD_AGENT_LIMITS_MEMORY: "256m",
        RAILHEAD_AGENT_REMOTES: "git.example=http://127.0.0.1:3999 github.com",
        RAILHEAD_AGENT_IMAGES_GO: "railhead/go:1",
        RAILHEAD_AGENT_LABELS: "zone=eu,disk=ssd",
      },
      { capacity: "5" },
    ),
  );
  assert.equal(settings.capacity, 5);
  assert.equal(settings.limits.memory_bytes, 256 * 2 ** 20);
  assert.equal(settings.limits.pids, 99);
  assert.deepEqual(settings.remotes, {
    "git.example": "http://127.0.0.1:3999",
    "github.com": "https://github.com",
  });
  assert.equal(settings.images.go, "railhead/go:1");
  assert.deepEqual(settings.labels, { zone: "eu", disk: "ssd" });
});

test("Erlang images are a table by OTP major, in the file and in the environment", () => {
  const inFile = withHome('[images]\nerlang = { 25 = "erlang:25", 27 = "erlang:27" }\n', (home) =>
    loadSettings(home, {}),
  );
  const inEnvironment = withHome(null, (home) =>
    loadSettings(home, { RAILHEAD_AGENT_IMAGES_ERLANG: "25=erlang:25,27=erlang:27" }),
  );
  const wanted = { 25: "erlang:25", 27: "erlang:27" };
  assert.deepEqual(inFile.images.erlang, wanted);
  assert.deepEqual(inEnvironment.images.erlang, wanted);
});

test("the Hex repository is a base URL, with or without a slash at its end", () => {
  const settings = withHome('hex = "https://hex.example/mirror/"', (home) =>
    loadSettings(home, {}),
  );
  assert.equal(settings.hex, "https://hex.example/mirror");
});

test("a wrong setting is one line with its file and key", () => {
  assert.match(complaint("capacity = -1"), /^HOME\/agent\.toml: capacity must be a number from 0/);
  assert.match(complaint('[limits]\nmemory = "lots"'), /limits\.memory must be a size such as/);
  assert.match(complaint("[limits]\nmemroy = 1"), /limits\.memroy is no setting of the agent/);
  assert.match(complaint('remotes = ["nowhere"]'), /remotes names no git host/);
  assert.match(complaint('build_network = "host"'), /build_network must be "none" or "outbound"/);
  assert.match(
    complaint('hex = "https://user:secret@hex.example"'),
    /hex must be a plain http or https URL/,
  );
  assert.match(
    complaint('[images]\nerlang = { latest = "erlang:27" }'),
    /images\.erlang\.latest must name an image for each OTP release/,
  );
  assert.match(complaint("capacity = "), /^HOME\/agent\.toml:1:/);
  assert.match(
    complaint(null, { RAILHEAD_AGENT_CAPACITY: "two" }),
    /^RAILHEAD_AGENT_CAPACITY must be a number/,
  );
});

test("web apps are on the agent's own network unless the operator names one that has addresses", () => {
  const parsed = (app: object) => parseSettings({ app }, (key) => key).app;
  assert.deepEqual(
    [parsed({}).network, parsed({}).traefik_network, parsed({}).enabled],
    [null, null, true],
  );
  const set = parsed({ network: "web", traefik_network: "traefik", memory: "256m", cpus: 0.5 });
  assert.deepEqual([set.network, set.traefik_network], ["web", "traefik"]);
  assert.deepEqual(set.limits, { memory_bytes: 256 * 2 ** 20, cpus: 0.5, pids: 512 });
  for (const network of ["host", "none", "bridge", "container:abc"])
    assert.throws(() => parsed({ network }), /app\.network must be a network that was made/);
});

test("the home is the option, RAILHEAD_HOME or a folder of the user's own", () => {
  assert.equal(homeFolder("/a", { RAILHEAD_HOME: "/b" }), "/a");
  assert.equal(homeFolder(undefined, { RAILHEAD_HOME: "/b" }), "/b");
});

test("a mail relay has a URL and a sender; what is said of a wrong one shows no password", () => {
  const parsed = (mail: object) => parseSettings({ mail }, (key) => key).mail;
  const url = "smtps://builds:s3cret@relay.example:465";
  assert.equal(parsed({}), null);
  assert.deepEqual(parsed({ url, from: "Railhead <builds@example.com>" }), {
    url,
    from: "Railhead <builds@example.com>",
  });
  for (const [mail, key] of [
    [{ url }, "mail.from"],
    [{ url, from: "nobody" }, "mail.from"],
    [{ url: "https://builds:s3cret@relay.example", from: "a@example.com" }, "mail.url"],
    [{ url: "smtp://builds:s3cret@relay.example:x", from: "a@example.com" }, "mail.url"],
    [{ url: "smtp:///s3cret", from: "a@example.com" }, "mail.url"],
  ] as const)
    assert.throws(
      () => parsed(mail),
      ({ message }: Error) => message.startsWith(key) && !message.includes("s3cret"),
    );
});
