import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parseSettings } from "./config.ts";
import { diagnose, look, type Seen, showFindings } from "./doctor.ts";
import { emptyEngine, testHome } from "./testing/agent.ts";

const SETTINGS = parseSettings({ capacity: 2, limits: { memory: "1g", cpus: 2 } }, (key) => key);
const GOOD: Seen = {
  facts: emptyEngine().facts_now,
  images: [{ image: "golang:1", id: `sha256:${"a".repeat(64)}` }],
  identity: {
    ok: {
      url: "https://railhead.example",
      agent: "default.0123456789abcdef",
      name: "test",
      pool: "default",
      key: { kty: "OKP", crv: "Ed25519", x: "", d: "" },
    },
  },
  edge: { clock_ahead_ms: 1_000 },
  home: { folder: "/var/lib/railhead", state: "writable" },
};

function worst(seen: Partial<Seen>, settings = SETTINGS): string[] {
  return diagnose({ ...GOOD, ...seen }, settings)
    .filter(({ status }) => status !== "ok")
    .map(({ check, status }) => `${status} ${check}`);
}

test("a good host has nothing to change", () => {
  assert.deepEqual(worst({}), []);
});

test("each thing that a host lacks is named, with what to change", () => {
  const facts = emptyEngine().facts_now;
  const cases: [Partial<Seen>, ...string[]][] = [
    [{ facts: { error: "no socket" } }, "fail engine"],
    [{ facts: { ...facts, engine_version: "19.03.1" } }, "warn engine"],
    [{ facts: { ...facts, disk_free_bytes: 1 } }, "fail disk"],
    [{ facts: { ...facts, disk_free_bytes: null } }, "warn disk"],
    [{ facts: { ...facts, memory_bytes: 2 ** 30 } }, "warn memory"],
    [{ facts: { ...facts, cpus: 1 } }, "warn cpus"],
    [{ facts: { ...facts, seccomp: false } }, "fail seccomp"],
    [{ facts: { ...facts, live_restore: false } }, "warn live-restore"],
    [{ facts: { ...facts, firewall: false } }, "warn firewall", "warn web apps"],
    [{ facts: { ...facts, quota: false } }, "warn quota"],
    [{ facts: { ...facts, cgroup_driver: "systemd" } }, "warn image steps"],
    [{ images: [{ image: "golang:1", id: null }] }, "warn image golang:1"],
    [{ identity: { error: "not registered" }, edge: null }, "fail identity"],
    [{ edge: { error: "ECONNREFUSED" } }, "fail edge"],
    [{ edge: { clock_ahead_ms: -60_000 } }, "warn clock"],
    [{ edge: { clock_ahead_ms: 3_600_000 } }, "fail clock"],
    [{ home: { folder: "/x", state: "closed" } }, "fail home"],
  ];
  for (const [seen, ...expected] of cases) assert.deepEqual(worst(seen), expected);
});

test("without a firewall web apps run on a network that the operator names, or are switched off", () => {
  const facts = { ...emptyEngine().facts_now, firewall: false };
  const on = (app: Partial<typeof SETTINGS.app>) =>
    showFindings(diagnose({ ...GOOD, facts }, { ...SETTINGS, app: { ...SETTINGS.app, ...app } }));
  assert.match(on({ network: "web" }), /ok +web apps +on web/);
  assert.match(on({ network: "web", traefik_network: "t" }), /ok +web apps +on web, and t/);
  assert.doesNotMatch(on({ enabled: false }), /web apps/);
});

test("who builds with BuildKit is told which limits do not hold, or that the engine has none", () => {
  const image = { ...SETTINGS.image, builder: "buildkit" as const };
  const findings = diagnose(GOOD, { ...SETTINGS, image });
  assert.match(
    showFindings(findings),
    /warn +buildkit +RUN steps have no limit of memory.*network: none/,
  );
  const facts = { ...emptyEngine().facts_now, engine_version: "5.4.2" };
  assert.ok(worst({ facts }, { ...SETTINGS, image }).includes("fail buildkit"));
});

test("a home is told apart that is there, that can be made, and that cannot", async () => {
  const { home, remove } = testHome();
  writeFileSync(join(home, "file"), "");
  const stateOf = async (folder: string) => {
    const identity = { error: "not registered" };
    const seen = await look({ home: folder, docker: emptyEngine(), images: [], identity });
    return seen.home.state;
  };
  assert.equal(await stateOf(home), "writable");
  assert.equal(await stateOf(join(home, "not/yet")), "absent");
  assert.equal(await stateOf(join(home, "file/below")), "closed");
  remove();
});

test("an image that several recipes need is looked at once", async () => {
  const { home, remove } = testHome();
  const identity = { error: "not registered" };
  const images = ["railhead/go:1", "railhead/go:1"];
  const seen = await look({ home, docker: emptyEngine(), images, identity });
  assert.deepEqual(
    seen.images.map(({ image }) => image),
    ["railhead/go:1"],
  );
  remove();
});

test("findings are one line each, and advice stands below its finding", () => {
  const text = showFindings(diagnose({ ...GOOD, edge: { error: "ECONNREFUSED" } }, SETTINGS));
  assert.match(text, /^ok {4}home/m);
  assert.match(text, /^fail {2}edge .*ECONNREFUSED\n {10,}Check the address/m);
});
