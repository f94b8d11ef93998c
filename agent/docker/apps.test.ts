import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { after, before, describe, test } from "node:test";
import { scriptImage, webServer } from "../../test/support/app-image.ts";
import type { BaseImage } from "../../test/support/base-image.ts";
import { type DockerWorld, dockerWorld } from "../../test/support/docker.ts";
import { containers, engine, execIn } from "../../test/support/engine.ts";
import { tarOf } from "../../test/support/image-world.ts";
import { until } from "../../test/support/until.ts";
import type { AppFacts, AppLog, AppSpec } from "../apps/contracts.ts";
import { epochSeconds } from "./app-log.ts";
import { builtImage, DockerError } from "./contracts.ts";

const MIB = 1024 ** 2;

let world: DockerWorld;
const images: BaseImage[] = [];
before(async () => {
  world = await dockerWorld();
});
after(async () => {
  await world[Symbol.asyncDispose]();
  for (const image of images) await image.remove();
});

async function image(script: string, changes: readonly string[] = []): Promise<string> {
  const made = await scriptImage(script, changes);
  images.push(made);
  return made.name;
}

async function spec(script: string, over: Partial<AppSpec> = {}): Promise<AppSpec> {
  return {
    build: randomBytes(16).toString("hex"),
    attempt: 1,
    project: "shop",
    generation: 3,
    replica: 0,
    image: over.image ?? (await image(script)),
    env: {},
    limits: { memory_bytes: 64 * MIB, cpus: 1, pids: 64 },
    labels: {},
    network: null,
    traefik_network: null,
    ...over,
  };
}

async function page({ address }: AppFacts, port = 80): Promise<string> {
  return until("an answer", async () => {
    const response = await fetch(`http://${address}:${port}/`).catch(() => null);
    return response?.ok ? (await response.text()).trim() : null;
  });
}

async function printed(build: string, tail: number | null = null): Promise<AppLog[]> {
  const wanted = { since: null, tail, follow: false };
  const lines: AppLog[] = [];
  for await (const line of world.host.apps.logs(build, wanted, new AbortController().signal))
    lines.push(line);
  return lines;
}

async function text(build: string): Promise<string> {
  return (await printed(build)).map(({ data }) => data.toString()).join("");
}

async function ended(build: string): Promise<AppFacts> {
  return until("its end", async () => {
    const facts = await world.host.apps.inspect(build);
    return facts !== null && !facts.running ? facts : null;
  });
}

describe("a web app's container", () => {
  test("answers on its port to the agent, through the firewall that lets it out only", async () => {
    const app = await spec(webServer("hello"), { labels: { "traefik.enable": "true" } });
    const facts = await world.host.apps.start(app);
    assert.equal(facts.running, true);
    assert.equal(await page(facts), "hello");
    const [found] = await containers(`railhead.app=${app.build}`);
    assert.equal(found?.Labels["railhead.build"], undefined);
    assert.equal(found?.Labels["railhead.project"], "shop");
    assert.equal(found?.Labels["railhead.generation"], "3");
    assert.equal(found?.Labels["traefik.enable"], "true");
  });

  test("reaches neither the host nor another app", async () => {
    const victim = await world.host.apps.start(await spec(webServer("victim")));
    await page(victim);
    const script = `
      for host in ${victim.address} $(busybox ip route | busybox sed -n 's/default via \\([^ ]*\\).*/\\1/p'); do
        wget -q -T 3 -O /dev/null http://$host/ 2>/dev/null && echo reached $host || echo refused
      done`;
    const app = await spec(script);
    await world.host.apps.start(app);
    await ended(app.build);
    assert.equal(await text(app.build), "refused\nrefused\n");
  });

  test("runs as its image's own user, with no new privileges and within its limits", async () => {
    const app = await spec("", {
      image: await image("id -u; busybox grep -E 'NoNewPrivs|CapEff' /proc/self/status; sleep 60", [
        "USER 1234",
      ]),
    });
    const { id } = await world.host.apps.start(app);
    await until("its words", async () => (await text(app.build)).includes("NoNewPrivs"));
    assert.match(await text(app.build), /^1234\nCapEff:\s0{16}\nNoNewPrivs:\s1\n$/);
    const { HostConfig } = await engine<{ HostConfig: Record<string, unknown> }>(
      "GET",
      `/containers/${id}/json`,
    );
    assert.equal(HostConfig.Memory, 64 * MIB);
    assert.equal(HostConfig.MemorySwap, 64 * MIB);
    assert.equal(HostConfig.PidsLimit, 64);
    assert.equal(HostConfig.NanoCpus, 1e9);
    assert.deepEqual(HostConfig.CapDrop, ["ALL"]);
    assert.equal(HostConfig.Privileged, false);
  });

  test("that ends at once says how: its status, its lines, and whether it was for memory", async () => {
    const app = await spec("echo no config >&2; exit 3", {});
    await world.host.apps.start(app);
    const facts = await ended(app.build);
    assert.equal(facts.exit_code, 3);
    assert.equal(facts.restarts, 0);
    assert.equal(facts.address, null);
    const [line] = await printed(app.build);
    assert.equal(line?.stream, "stderr");
    assert.equal(line?.data.toString(), "no config\n");
    assert.match(line?.time ?? "", /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/);

    const hungry = await spec("exec busybox sort /dev/zero", {});
    await world.host.apps.start(hungry);
    assert.equal((await ended(hungry.build)).oom, true);
  });

  test("is started again whenever it ends, once it is to stay", async () => {
    const app = await spec("echo started; sleep 1; exit 1");
    const { id } = await world.host.apps.start(app);
    await world.host.apps.keepUp(id);
    await until("a second start", async () => {
      const facts = await world.host.apps.inspect(app.build);
      return (facts?.restarts ?? 0) > 0;
    });
    await world.host.apps.remove(app.build, 0);
    assert.equal(await world.host.apps.inspect(app.build), null);
    await world.host.apps.remove(app.build, 0);
  });

  test("is well as its image's HEALTHCHECK says, whose last words are told", async () => {
    const name = await image(webServer("checked"), [
      "HEALTHCHECK --interval=1s --retries=1 CMD test -e /tmp/well || { echo not well; false; }",
    ]);
    const app = await spec("", { image: name });
    const { id, health } = await world.host.apps.start(app);
    assert.equal(health?.status, "starting");
    const seen = () => world.host.apps.inspect(app.build).then((facts) => facts?.health);
    const ill = await until("ill", async () => {
      const health = await seen();
      return health?.status === "unhealthy" ? health : null;
    });
    assert.equal(ill.output, "not well");
    await execIn(id, ["sh", "-c", "echo >/tmp/well"]);
    await until("well", async () => (await seen())?.status === "healthy");
  });

  test("outlives its attempt and the agent, and goes when the agent is retired", async () => {
    const app = await spec(webServer("stays"));
    await world.host.apps.start(app);
    await world.host.clean({ agent: world.agent, build: app.build, attempt: app.attempt });
    await world.host.reap(world.agent, []);
    const facts = await world.host.apps.inspect(app.build);
    assert.equal(facts?.running, true);
    const all = await world.host.apps.list();
    const listed = all.find(({ build }) => build === app.build);
    const { build, attempt, project, generation, replica } = app;
    assert.deepEqual(listed, { build, attempt, project, generation, replica });

    await using other = await dockerWorld();
    assert.equal(await other.host.apps.inspect(app.build), null);
    const theirs = await spec(webServer("theirs"));
    await other.host.apps.start(theirs);
    await other.host.retire();
    assert.equal((await containers(`railhead.app=${theirs.build}`)).length, 0);
    assert.equal((await containers(`railhead.app=${app.build}`)).length, 1);
  });

  test("of this attempt is taken as it is, that of an earlier attempt is made anew", async () => {
    const app = await spec(webServer("again"));
    const first = await world.host.apps.start(app);
    assert.equal((await world.host.apps.start(app)).id, first.id);
    const second = await world.host.apps.start({ ...app, attempt: 2 });
    assert.notEqual(second.id, first.id);
    assert.equal(await page(second), "again");
  });

  test("cannot be started: the engine's own words say why", async () => {
    const app = await spec("", { image: await image("true", ["USER nobody-there"]) });
    await assert.rejects(
      world.host.apps.start(app),
      (error) => error instanceof DockerError && /unable to find user/.test(error.said ?? ""),
    );
    const gone = await spec("", { image: `sha256:${"0".repeat(64)}` });
    await assert.rejects(
      world.host.apps.start(gone),
      (error) => error instanceof DockerError && /No such image/.test(error.said ?? ""),
    );
  });

  test("joins the operator's networks where there are some", async () => {
    const names = ["own", "traefik"].map((name) => `${world.agent}-${name}`);
    const [network = "", traefik_network = ""] = names;
    for (const Name of names) await engine("POST", "/networks/create", { Name });
    try {
      const app = await spec(webServer("joined"), { network, traefik_network });
      const facts = await world.host.apps.start(app);
      assert.equal(await page(facts), "joined");
      const { NetworkSettings } = await engine<{
        NetworkSettings: { Networks: Record<string, { IPAddress: string }> };
      }>("GET", `/containers/${facts.id}/json`);
      assert.deepEqual(Object.keys(NetworkSettings.Networks).sort(), names.sort());
      assert.equal(NetworkSettings.Networks[network]?.IPAddress, facts.address);
      await world.host.apps.remove(app.build, 0);
    } finally {
      for (const name of names) await engine("DELETE", `/networks/${name}`);
    }
  });
});

describe("what a web app prints", () => {
  test("is read from any line or time on, and followed", async () => {
    const app = await spec("for i in 1 2 3; do echo line $i; done; sleep 1; echo later; sleep 60");
    await world.host.apps.start(app);
    await until("four lines", async () => (await printed(app.build)).length === 4);
    const all = await printed(app.build);
    const tail = await printed(app.build, 2);
    assert.deepEqual(
      tail.map(({ data }) => data.toString()),
      ["line 3\n", "later\n"],
    );
    const over = new AbortController();
    const wanted = { since: all[3]?.time ?? "", tail: null, follow: true };
    const followed: string[] = [];
    for await (const { data } of world.host.apps.logs(app.build, wanted, over.signal)) {
      followed.push(data.toString());
      over.abort();
    }
    assert.deepEqual(followed, ["later\n"]);
  });

  test("a line longer than the engine's buffer comes in parts, and whole", async () => {
    const app = await spec("head -c 40000 /dev/zero | busybox tr '\\0' x; echo; echo end");
    await world.host.apps.start(app);
    await ended(app.build);
    const whole = await text(app.build);
    assert.equal(whole, `${"x".repeat(40_000)}\nend\n`);
  });

  test("times are told to the engine to the nanosecond", () => {
    assert.equal(epochSeconds("2026-11-21T16:00:00.123456789Z"), "1795276800.123456789");
    assert.equal(epochSeconds("2026-11-21T17:00:00+01:00"), "1795276800.000000000");
    assert.equal(epochSeconds("yesterday"), "0");
  });
});

describe("images of web apps", () => {
  const fingerprint = (text: string) => createHash("sha256").update(text).digest("hex");

  /** Builds one as an attempt, keeps it, and cleans the attempt up. */
  async function build(project: string, of: string, base: string): Promise<string> {
    const owner = world.owner();
    const context = await tarOf([
      [
        { name: "Dockerfile" },
        `FROM ${base}\nRUN echo ${of} >/tmp/made\nCMD ["cat","/tmp/made"]\n`,
      ],
    ]);
    const limits = { cpus: 1, memory_bytes: 256 * MIB, pids: 64, disk_bytes: 256 * MIB };
    const events = world.host.images.build(
      {
        owner,
        builder: { kind: "classic" },
        dockerfile: "Dockerfile",
        stage: null,
        args: {},
        labels: {},
        cache_from: [],
        login: null,
        limits,
        max_bytes: 1024 * MIB,
      },
      Readable.from([context]),
      new AbortController().signal,
    );
    for await (const event of events) assert.equal(event.kind, "output");
    const id = await world.host.apps.keepImage(builtImage(owner), project, fingerprint(of), []);
    await world.host.clean(owner);
    assert.equal(await world.host.imageId(builtImage(owner)), null);
    return id;
  }

  test("stay when their attempt is cleaned, until others are wanted, or none of the project", async () => {
    const { apps } = world.host;
    const base = await image("true");
    const old = await build("store", "one", base);
    assert.equal(await apps.keptImage("store", fingerprint("one")), old);
    assert.equal(await apps.keptImage("store", fingerprint("two")), null);
    assert.equal(await apps.keptImage("other", fingerprint("one")), null);

    const app = await spec("", { image: old, project: "store" });
    await apps.start(app);
    await ended(app.build);
    assert.equal(await text(app.build), "one\n");

    const next = await build("store", "two", base);
    await apps.trimImages("store", [fingerprint("two")]);
    // A container has it.
    assert.equal(await apps.keptImage("store", fingerprint("one")), old);
    await apps.remove(app.build, 0);
    await apps.trimImages("store", [fingerprint("two")]);
    assert.equal(await apps.keptImage("store", fingerprint("one")), null);
    assert.equal(await world.host.imageId(old), null);

    await apps.trimProjects(["store"]);
    assert.equal(await apps.keptImage("store", fingerprint("two")), next);
    await apps.trimProjects([]);
    assert.equal(await world.host.imageId(next), null);
  });

  test("two replicas that are built at once share one", async () => {
    const base = await image("true");
    const ids = await Promise.all([build("pair", "same", base), build("pair", "same", base)]);
    assert.equal(ids[0], ids[1]);
    await world.host.apps.trimProjects([]);
  });
});
