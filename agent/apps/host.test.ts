import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { ResponseHead } from "../../shared/tunnel/index.ts";
import { scriptImage, webServer } from "../../test/support/app-image.ts";
import { type AppWorld, appWorld } from "../../test/support/app-world.ts";
import type { BaseImage } from "../../test/support/base-image.ts";
import { containers, engine } from "../../test/support/engine.ts";
import { EngineProxy } from "../../test/support/engine-proxy.ts";
import { until } from "../../test/support/until.ts";
import { type Candidate, Refused } from "./contracts.ts";

const MIB = 1024 ** 2;

let proxy: EngineProxy;
let world: AppWorld;
const images: BaseImage[] = [];
before(async () => {
  proxy = await EngineProxy.open();
  world = await appWorld(proxy.socket);
});
after(async () => {
  await world[Symbol.asyncDispose]();
  await proxy.close();
  for (const image of images) await image.remove();
});

async function candidate(script: string): Promise<Candidate> {
  const image = await scriptImage(script);
  images.push(image);
  return {
    build: randomBytes(16).toString("hex"),
    attempt: 1,
    project: "shop",
    generation: 1,
    replica: 0,
    image: image.name,
    env: {},
    limits: { memory_bytes: 64 * MIB, cpus: 1, pids: 64 },
    labels: {},
    network: null,
    traefik_network: null,
    port: 80,
    health: { path: null, seconds: 30 },
    fingerprint: randomBytes(32).toString("hex"),
    serve: randomBytes(32).toString("hex"),
  };
}

async function live(script: string): Promise<Candidate> {
  const app = await candidate(script);
  await world.host.start(app);
  await world.host.goLive(app.build, new AbortController().signal);
  return app;
}

const found = async ({ build }: Candidate) => (await containers(`railhead.app=${build}`))[0];
const isGone = (app: Candidate) => async () => (await found(app)) === undefined;
const heard = (app: Candidate) => world.edge.heard.filter(({ build }) => build === app.build);
const files = () => readdir(join(world.folder, "apps"));

async function fetched(app: Candidate): Promise<string> {
  return until("an answer", async () => {
    const client = world.edge.isOpen(app.build) ? world.edge.client(app.build) : null;
    const answered = await client?.ask({ headers: [["Host", "shop"]] }).catch(() => null);
    if (!answered || (answered.head as ResponseHead).status !== 200) return null;
    let text = "";
    for await (const part of answered.body) text += Buffer.from(part).toString();
    return text.trim();
  });
}

test("after a cut its socket comes back, says how it is, and serves on", async () => {
  const app = await live(webServer("back"));
  assert.equal(await fetched(app), "back");
  const before = heard(app).length;
  world.edge.cut(app.build);
  const hello = await until("a hello", () => heard(app).slice(before)[0]);
  const { agent, name } = { agent: world.docker.agent, name: "host-1" };
  const how = { state: "healthy", restarts: 0 };
  const { build } = app;
  assert.deepEqual(hello, { t: "hello", protocol: 1, agent, name, ...how, build });
  assert.equal(await fetched(app), "back");
});

test("an agent that ends leaves its apps running, and its successor serves them", async () => {
  const app = await live(webServer("stays"));
  const before = await found(app);
  await world.restart();
  assert.equal(await fetched(app), "stays");
  await world.host.reap([]);
  assert.equal((await found(app))?.Id, before?.Id);
  assert.equal(await fetched(app), "stays");
});

test("what opens the sockets is on the disk for its user alone", async () => {
  const app = await live(webServer("secret"));
  const file = join(world.folder, "apps", `${app.build}.json`);
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  assert.match(await readFile(file, "utf8"), new RegExp(app.serve));
});

test("what is to go answers what is under way, takes nothing new, and is removed with all that was kept of it", async () => {
  const script = [
    "#!/bin/sh",
    "printf 'Content-Type: text/plain\\r\\n\\r\\nfirst\\n'",
    "while [ ! -e /tmp/go ]; do sleep 0.1; done",
    "echo last",
  ].join("\n");
  const encoded = Buffer.from(script).toString("base64");
  const slow =
    `mkdir -p /tmp/cgi-bin; echo ${encoded} | base64 -d >/tmp/cgi-bin/wait; chmod +x /tmp/cgi-bin/wait; `.replaceAll(
      /mkdir|base64 -d|chmod/g,
      "busybox $&",
    );
  const app = await live(slow + webServer("drained"));
  await fetched(app);
  const client = world.edge.client(app.build);
  const answered = await client.ask({ target: "/cgi-bin/wait", headers: [["Host", "shop"]] });
  world.edge.send(app.build, { t: "remove", drain_ms: 60_000 });
  await until("a refusal", () =>
    client.ask({ headers: [["Host", "shop"]] }).then(
      () => false,
      (error) => /refused: this version is going away/.test(String(error)),
    ),
  );
  const container = await found(app);
  assert.equal(container?.State, "running");
  const { Id } = await engine<{ Id: string }>("POST", `/containers/${container?.Id}/exec`, {
    Cmd: ["sh", "-c", "echo >/tmp/go"],
  });
  await engine("POST", `/exec/${Id}/start`, { Detach: false });
  let text = "";
  for await (const part of answered.body) text += Buffer.from(part).toString();
  assert.equal(text, "first\nlast\n");
  await until("its end", isGone(app));
  await until("its file to go", async () => !(await files()).includes(`${app.build}.json`));
  await until("its socket to close", () => !world.edge.isOpen(app.build));
});

test("who reads its log does not keep it from going, and reads its last words", async () => {
  const app = await live(
    "trap 'echo bye; exit' TERM; echo up >/tmp/index.html; busybox httpd -p 80 -h /tmp; while :; do sleep 0.1; done",
  );
  const { body } = await world.edge.client(app.build).logs({ follow: true });
  let text = "";
  const reading = (async () => {
    for await (const part of body) text += Buffer.from(part).toString();
  })();
  reading.catch(() => {});
  world.edge.send(app.build, { t: "remove", drain_ms: 3_600_000 });
  await until("its end", isGone(app));
  assert.match(text, /"data":"bye\\n"/);
});

test("requests that do not end are not waited for longer than was said", async () => {
  const app = await live(
    `mkfifo /tmp/never; ${webServer("stuck")}`.replace("mkfifo", "busybox mkfifo"),
  );
  await fetched(app);
  const asked = world.edge.client(app.build).ask({ target: "/never", headers: [["Host", "s"]] });
  world.edge.send(app.build, { t: "remove", drain_ms: 100 });
  await assert.rejects(asked);
  await until("its end", isGone(app));
});

test("a replica that the edge disowns is removed", async () => {
  const app = await live(webServer("disowned"));
  world.edge.disowned.add(app.build);
  world.edge.cut(app.build);
  await until("its end", isGone(app));
  await until("its file to go", async () => !(await files()).includes(`${app.build}.json`));
});

test("what nobody claims is removed: a candidate without its attempt, a container without a file", async () => {
  const claimed = await candidate(webServer("claimed"));
  const lost = await candidate(webServer("lost"));
  const serving = await live(webServer("serving"));
  for (const app of [claimed, lost]) await world.host.start(app);
  const stray = await candidate(webServer("stray"));
  await world.docker.host.apps.start(stray);
  await world.host.reap([{ build: claimed.build, attempt: 1 }]);
  assert.equal((await found(claimed))?.State, "running");
  assert.equal((await found(serving))?.State, "running");
  for (const app of [lost, stray]) assert.equal(await found(app), undefined);
  // Of another attempt of the same build it is not the candidate.
  await world.host.abandon({ build: claimed.build, attempt: 2 });
  assert.equal((await found(claimed))?.State, "running");
  await world.host.abandon({ build: claimed.build, attempt: 1 });
  assert.equal(await found(claimed), undefined);
});

test("a candidate that was removed while its container was being made leaves none", async () => {
  const app = await candidate(webServer("overtaken"));
  await world.host.start(app);
  await until("its socket", () => world.edge.isOpen(app.build));
  world.edge.send(app.build, { t: "remove", drain_ms: 0 });
  await until("its end", isGone(app));
  await until("its socket to close", () => !world.edge.isOpen(app.build));
  await world.docker.host.apps.start(app);
  const { signal } = new AbortController();
  await world.host.goLive(app.build, signal).then(
    () => assert.fail("nobody wants it"),
    (error) => assert.ok(error instanceof Refused),
  );
  await world.host.abandon(app);
  assert.equal(await found(app), undefined);
});

test("a later attempt starts in the place of what an earlier one left", async () => {
  const app = await candidate(webServer("second"));
  await world.host.start(app);
  const first = await found(app);
  await world.host.start({ ...app, attempt: 2 });
  assert.notEqual((await found(app))?.Id, first?.Id);
  await world.host.goLive(app.build, new AbortController().signal);
  assert.deepEqual(
    heard(app).filter(({ t }) => t === "ready"),
    [{ t: "ready", attempt: 2, build: app.build }],
  );
  assert.equal(await fetched(app), "second");
});

test("a container that ends is started again, and the edge is told", async () => {
  const app = await live(`sleep 2; test -e /tmp/index.html && exit 1; ${webServer("risen")}`);
  const died = await live(`${webServer("mortal").replace("exec ", "")} & sleep 3; exit 1`);
  await until("a restart to be told", () =>
    heard(died).some((frame) => frame.t !== "ready" && frame.restarts > 0),
  );
  assert.equal(await fetched(app), "risen");
});

test("a container that somebody removed is given back to the edge, which makes it anew", async () => {
  const app = await live(webServer("taken"));
  await fetched(app);
  await engine("DELETE", `/containers/${(await found(app))?.Id}?force=1`);
  await until("its socket to close", () => !world.edge.isOpen(app.build));
  await until("its file to go", async () => !(await files()).includes(`${app.build}.json`));
});

test("an image stays as long as it runs, is wanted, or is about to run", async () => {
  const { apps } = world.docker.host;
  const print = () => randomBytes(32).toString("hex");
  const made = await candidate(webServer("imaged"));
  const [running, wanted, claimed, old] = [made.fingerprint, print(), print(), print()];
  for (const fingerprint of [running, wanted, claimed, old])
    await apps.keepImage(made.image, "shop", fingerprint, []);
  await apps.keepImage(made.image, "elsewhere", old, []);
  const kept = async (project: string, fingerprint: string) =>
    (await apps.keptImage(project, fingerprint)) !== null;
  await world.host.start(made);
  await world.host.goLive(made.build, new AbortController().signal);
  {
    using _claim = world.host.claim({ project: "shop", fingerprint: claimed });
    world.edge.send(made.build, { t: "keep", fingerprints: [wanted] });
    await until("the old one to go", async () => !(await kept("shop", old)));
    for (const fingerprint of [running, wanted, claimed])
      assert.ok(await kept("shop", fingerprint));
    using _other = world.host.claim({ project: "elsewhere", fingerprint: old });
    await world.host.trim();
    assert.ok(await kept("elsewhere", old));
  }
  await world.host.trim();
  assert.ok(!(await kept("elsewhere", old)));
  assert.ok(await kept("shop", wanted));
  world.edge.send(made.build, { t: "keep", fingerprints: [] });
  await until("the others to go", async () => !(await kept("shop", claimed)));
  assert.ok(await kept("shop", running));
});

test("while the engine hangs, or answers nothing but errors, its apps serve on", async () => {
  const app = await live(webServer("steady"));
  assert.equal(await fetched(app), "steady");
  proxy.hang();
  for (let i = 0; i < 3; i++) assert.equal(await fetched(app), "steady");
  proxy.heal();
  let asked = 0;
  proxy.refuses = ({ path }) => (path.includes(app.build) && ++asked > 0 ? "out of order" : null);
  await until("the engine to be asked in vain", async () => {
    assert.equal(await fetched(app), "steady");
    return asked > 2;
  });
  proxy.heal();
  assert.equal(await fetched(app), "steady");
  assert.equal((await found(app))?.State, "running");
});

test("a file that cannot be read counts for nothing", async () => {
  await writeFile(join(world.folder, "apps", "0123.json"), "{");
  await world.restart();
});
