import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createInterface } from "node:readline";
import { buffer } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import {
  type AppStack,
  inspect,
  load,
  openAppStack,
  SERVE,
  type TestProject,
} from "../support/app-stack.ts";
import { execIn } from "../support/engine.ts";
import { imagesWith } from "../support/image-stack.ts";
import type { Ran } from "../support/process.ts";
import { until } from "../support/until.ts";

const MIB = 1024 ** 2;
/** Milliseconds for an app to come back from an agent that is lost: it has two minutes to return, then comes a build. */
const MOVED_MS = 240_000;
/** What an app runs that is healthy when the test says so. */
const SERVE_ONCE_READY = `while [ ! -e /tmp/ready ]; do sleep 0.1; done; ${SERVE}`;

describe("web apps", () => {
  let world: AppStack;
  /** Its agent is killed before all tests, and stays away. */
  let orphan: TestProject;
  let lost: number;

  before(async () => {
    world = await openAppStack({ agents: 3, capacity: 4 });
    orphan = await world.project();
    await orphan.up("one");
    lost = await world.agentOf(orphan);
    await world.stack.killAgent(lost);
  });
  after(() => world?.close());

  const printed = ({ stdout, stderr }: Ran) => `${stdout}${stderr}`;

  describe("many at once", { concurrency: 4 }, () => {
    test("perok up puts a folder online, down leaves nothing of it", async () => {
      const shop = await world.project();
      const said = await shop.up("one");
      assert.match(said, /Step 1\/\d+ : FROM/);
      assert.equal(await shop.answering(), "one");

      const big = randomBytes(300_000);
      const { body } = await shop.ask("/cgi-bin/echo", { method: "POST", body: big });
      assert.ok(body.equals(big), `${body.length} bytes came back`);

      const rows = (await shop.perok("list")).stdout.toString().split("\n");
      assert.ok(rows.includes(`${shop.name.padEnd(19)} ${shop.rule}`), rows.join("\n"));

      const down = await shop.perok("down");
      assert.equal(down.stdout.toString(), `deleted ${shop.name}\n`);
      assert.equal(down.code, 0);
      assert.notEqual(await shop.answering(), "one");
      await until(`nothing left of ${shop.name}`, async () => {
        return (
          (await shop.containers()).length === 0 && (await imagesWith(shop.marker)).length === 0
        );
      });
      const again = await shop.perok("down");
      assert.equal(again.code, 1);
      assert.match(again.stderr, new RegExp(`project ${shop.name} not found`));
    });

    test("what the app prints comes out of logs, stream by stream; what it streams comes at once", async () => {
      const shop = await world.project();
      await shop.up("one");
      const events = await shop.open("/cgi-bin/events");
      assert.equal(events.headers["content-type"], "text/event-stream");
      const lines = createInterface(events)[Symbol.asyncIterator]();
      assert.equal((await lines.next()).value, "data: first");
      await shop.ask("/cgi-bin/go");
      await lines.next();
      assert.equal((await lines.next()).value, "data: second");

      await shop.ask("/cgi-bin/print?hello");
      const logs = await shop.railhead("logs");
      assert.equal(logs.stdout.toString(), "serving one\nhello\n");
      assert.equal(logs.stderr, "careful, one\n");
      const last = await shop.railhead("logs", "--tail", "1");
      assert.equal(printed(last), "hello\n");
      await shop.down();
    });

    test("redeploys under load lose no request, not even one that outlasts them", async () => {
      const shop = await world.project();
      await shop.up("one");
      const old = await shop.container();
      const events = await shop.open("/cgi-bin/events");
      const requests = load(shop, 40);
      for (const version of ["two", "three", "four"]) {
        await shop.up(version);
        assert.equal(await shop.answering(), version);
        if (version !== "two") continue;
        await execIn(old.Id, ["busybox", "touch", "/tmp/go"]);
        assert.match((await buffer(events)).toString(), /data: second/);
      }
      const { asked, failures, versions } = await requests.stop();
      assert.deepEqual(failures, {}, `of ${asked}. ${await world.cuts(shop)}`);
      assert.deepEqual([...versions].sort(), ["four", "one", "three", "two"]);
      await shop.drained();
      await shop.down();
    });

    test("a version that cannot be built or started leaves the old one serving, and says why", async () => {
      const shop = await world.project();
      await shop.up("good");
      const { Id } = await shop.container();
      const crash = 'CMD ["sh", "-c", "echo cannot open the database >&2; exit 3"]';
      const cases: [file: object, instructions: string[], why: RegExp][] = [
        [{}, ["RUN echo it does not compile && exit 9"], /it does not compile.*non-zero code: 9/s],
        [{}, [crash], /ended with status 3 before it was healthy.*cannot open the database/s],
        [
          { health: { seconds: 2 } },
          ['CMD ["busybox", "httpd", "-f", "-p", "8080"]'],
          /not healthy within 2 s: nothing listens on port 80/,
        ],
        [{ health: { seconds: 2, path: "/nowhere" } }, [], /GET \/nowhere answers 404 Not Found/],
        [
          { health: { seconds: 4 } },
          ["HEALTHCHECK --interval=1s --retries=1 CMD echo the queue is full; exit 1"],
          /not healthy within 4 s: its HEALTHCHECK said: the queue is full/,
        ],
        [
          { memory: "16m" },
          ['CMD ["dd", "if=/dev/zero", "of=/dev/null", "bs=256M"]'],
          /killed before it was healthy, for memory as it seems: it has 16.0 MiB/,
        ],
        [{}, ['CMD ["/no/such/program"]'], /ended with status 127 .*\/no\/such\/program/s],
      ];
      for (const [file, instructions, why] of cases) {
        await shop.configure(file);
        await shop.version("bad", ...instructions);
        const ran = await shop.perok("up");
        assert.equal(ran.code, 1, printed(ran));
        assert.match(printed(ran), why);
        assert.match(ran.stderr, /The version before it goes on serving\.\n$/);
        assert.equal(await shop.answering(), "good");
        await shop.drained();
        assert.equal((await shop.container()).Id, Id);
      }
      await shop.down();
    });

    test("a deploy that is cancelled leaves the old version serving, and nothing of its own", async () => {
      const shop = await world.project();
      await shop.up("good");
      await shop.version("never", "RUN echo it takes a while && sleep 600");
      const up = shop.perok("up");
      const logid = await until(
        "the second deploy",
        async () =>
          (await shop.view()).deployments.find(({ generation }) => generation === 2)?.build_id,
      );
      await until("the build's step", async () =>
        (await world.stack.log(logid)).some(({ msg }) => msg === "it takes a while"),
      );
      assert.equal((await world.stack.cancel(logid)).status, 202);
      const ran = await up;
      assert.equal(ran.code, 1, printed(ran));
      assert.match(ran.stderr, /cancelled/);
      assert.equal(await shop.answering(), "good");
      await shop.drained();
      await until("nothing left of the build", async () => {
        return (await world.stack.containers(logid)).length === 0;
      });
      await shop.down();
    });

    test("a rollback builds nothing, or builds anew where the image is gone; variables reach the app", async () => {
      const shop = await world.project();
      await shop.up("one");
      const release = await world.only(await world.agentOf(shop));
      await shop.up("two");
      const back = await shop.railhead("rollback");
      assert.equal(back.code, 0, printed(back));
      assert.match(back.stderr, /nothing to build/);
      assert.doesNotMatch(back.stderr, /Step 1/);
      assert.equal(await shop.answering(), "one");
      await shop.drained();

      await world.forget(`VERSION=two","MARKER=${shop.marker}`);
      const forth = await shop.railhead("rollback", "2");
      assert.equal(forth.code, 0, printed(forth));
      assert.match(forth.stderr, /Step 1/);
      assert.equal(await shop.answering(), "two");

      const set = await shop.railhead("env", "set", "GREETING=good morning", "--deploy");
      assert.equal(set.code, 0, printed(set));
      await release();
      assert.equal((await shop.ask("/cgi-bin/greeting")).body.toString(), "good morning\n");
      assert.equal(printed(await shop.railhead("env", "list")), "GREETING\n");
      assert.doesNotMatch(JSON.stringify(await shop.view()) + printed(set), /good morning/);
      await shop.down();
    });

    test("an app has the limits that it asked for, no privileges, and no neighbours", async () => {
      const shop = await world.project({ memory: "32m", cpus: 0.5 });
      const other = await world.project();
      await Promise.all([shop.up("one"), other.up("two")]);
      const { HostConfig, Mounts } = await inspect(await shop.container());
      assert.deepEqual(HostConfig.CapDrop, ["ALL"]);
      assert.ok(!HostConfig.CapAdd.some((name) => /SYS|NET_ADMIN|NET_RAW|MKNOD/.test(name)));
      assert.deepEqual(HostConfig.SecurityOpt, ["no-new-privileges"]);
      assert.equal(HostConfig.Privileged, false);
      assert.equal(HostConfig.Memory, 32 * MIB);
      assert.equal(HostConfig.MemorySwap, 32 * MIB);
      assert.equal(HostConfig.NanoCpus, 0.5e9);
      assert.ok(HostConfig.PidsLimit > 0);
      assert.equal(HostConfig.RestartPolicy.Name, "unless-stopped");
      assert.deepEqual(Mounts, []);
      assert.deepEqual(HostConfig.PortBindings ?? {}, {});

      const { NetworkSettings } = await inspect(await other.container());
      const [network] = Object.values(NetworkSettings.Networks);
      const host = createServer((_, response) => response.end("the host"));
      await new Promise<void>((resolve) => host.listen(0, "0.0.0.0", resolve));
      try {
        const port = (host.address() as AddressInfo).port;
        const reached = async (at: string) =>
          (await shop.ask(`/cgi-bin/reach?${at}`)).body.toString().trim();
        assert.equal(await reached("127.0.0.1"), "one\nreached");
        assert.equal(await reached(String(network?.IPAddress)), "nothing");
        assert.equal(await reached(`${network?.Gateway}:${port}`), "nothing");
      } finally {
        host.close();
      }
      await Promise.all([shop.down(), other.down()]);
    });
  });

  test("an app goes on in its container when its agent is killed, and when the edge is", async () => {
    const shop = await world.project();
    await shop.up("one");
    const { Id } = await shop.container();
    const { State } = await inspect({ Id });
    const agent = await world.agentOf(shop);

    const events = await shop.open("/cgi-bin/events");
    await world.stack.killAgent(agent);
    await assert.rejects(buffer(events), "an answer that broke off must not look whole");
    await until("the gateway's answer", async () => (await shop.ask()).status >= 502);
    world.stack.startAgent(agent);
    await shop.answers("one");

    await world.stack.killEdge();
    await world.stack.startEdge();
    await shop.answers("one");

    assert.equal((await shop.container()).Id, Id);
    assert.equal((await inspect({ Id })).State.StartedAt, State.StartedAt);
    await shop.down();
  });

  test("a deploy goes on where it was when its agent is killed, and when the edge is", async () => {
    const shop = await world.project({ health: { seconds: 300 } });
    await shop.up("one");
    const old = await shop.container();
    await shop.version("two", `CMD ${JSON.stringify(["sh", "-c", SERVE_ONCE_READY])}`);
    const up = shop.perok("up");
    const candidate = await until("the new version's container", async () =>
      (await shop.containers()).find(({ Id, State }) => Id !== old.Id && State === "running"),
    );
    const { replicas } = await shop.view();
    const agent = replicas.find(({ generation }) => generation === 2)?.agent;
    await world.stack.killAgent(world.indexOf(agent));
    world.stack.startAgent(world.indexOf(agent));
    await world.stack.killEdge();
    await world.stack.startEdge();
    await shop.answers("one");
    await execIn(candidate.Id, ["busybox", "touch", "/tmp/ready"]);
    const ran = await up;
    assert.equal(ran.code, 0, printed(ran));
    assert.equal(await shop.answering(), "two");
    await shop.drained();
    assert.equal((await shop.container()).Id, candidate.Id);
    await shop.down();
  });

  test("two replicas run on two agents, and one is enough", async () => {
    const shop = await world.project({ replicas: 2 });
    await world.connected(2);
    await shop.up("one");
    const { replicas } = await shop.view();
    assert.equal(new Set(replicas.map(({ agent }) => agent)).size, 2, JSON.stringify(replicas));
    const index = world.indexOf(replicas[0]?.agent);
    await world.stack.killAgent(index);
    await shop.answers("one");
    world.stack.startAgent(index);
    await until("both replicas", async () => (await shop.view()).agents.length === 2);
    await shop.down();
  });

  test("more replicas than the only agent has slots go live together", async () => {
    const shop = await world.project({ replicas: 3 });
    await world.connected(2);
    const working = (await world.stack.agents()).find(({ status }) => status === "connected");
    const release = await world.only(world.indexOf(working?.name));
    await shop.up("one");
    await release();
    assert.equal((await shop.containers()).length, 3);
    await shop.down();
  });

  // Last: it began before all others.
  test("an app whose agent is lost comes back on another; the lost one's container goes when it returns", async () => {
    await orphan.answers("one", MOVED_MS);
    assert.notEqual(await world.agentOf(orphan), lost);
    world.stack.startAgent(lost);
    await orphan.drained();
    assert.equal(await orphan.answering(), "one");
    await orphan.down();
  });
});
