import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { gzipSync } from "node:zlib";
import WebSocket from "ws";
import { until } from "../support/until.ts";
import { type AppWorld, openAppWorld, PEROKU_TOK, saying, tarOf } from "./apps.ts";
import { ADMIN_TOKEN } from "./edge.ts";

suite("web apps at the edge", () => {
  let world: AppWorld;
  before(async () => {
    world = await openAppWorld();
  });
  after(() => world.close());

  test("what is deployed answers on its host at once, and on no other", async () => {
    const shop = await world.deploy("shop", saying("one"), "Host:shop.example");
    assert.equal(await world.text("shop.example"), "one");
    assert.notEqual(await world.text("other.example"), "one");
    assert.equal(shop.target.project, "shop");
    const view = await world.view("shop");
    assert.equal(view.state, "live");
    assert.equal(view.url, `http://shop.example:${new URL(world.edge.url).port}/`);
  });

  test("a newer deploy takes over without a request lost, and the old replica is told to go", async () => {
    const one = await world.deploy("swap", saying("one"), "Host:swap.example");
    let stop = false;
    const seen = new Set<string>();
    const asking = (async () => {
      while (!stop) {
        const { status, body } = await world.ask("swap.example");
        assert.equal(status, 200, body.toString());
        seen.add(body.toString());
      }
    })();
    const two = await world.deploy("swap", saying("two"), "Host:swap.example");
    const { drain_ms } = await one.next("remove");
    assert.ok(drain_ms > 0);
    await until("the new version answers", () => seen.has("two"));
    stop = true;
    await asking;
    one.close();
    two.close();
  });

  test("a deploy that fails leaves the old version serving, and its log ends with the reason", async () => {
    const good = await world.deploy("keep", saying("good"), "Host:keep.example");
    const logid = await world.run("keep", "Host:keep.example");
    const bad = await world.replica(saying("bad"));
    const reason = "The app ended with status 1: no such file.";
    await bad.attempt.finish({ outcome: "failed", class: "build_error", reason });
    await bad.next("remove");
    assert.equal(await world.text("keep.example"), "good");
    const lines = await deployLog(world, logid);
    assert.match(lines.text, /no such file/);
    assert.equal(lines.code, 1000);
    const [newest] = (await world.view("keep")).deployments;
    assert.deepEqual([newest?.state, newest?.reason], ["failed", reason]);
    good.close();
  });

  test("of several deploys in line the newest goes live next, and those between never do", async () => {
    await world.run("line", "Host:line.example");
    const first = await world.replica(saying("first"));
    await world.run("line", "Host:line.example");
    const second = await world.replica(saying("second"));
    await world.run("line", "Host:line.example");
    const third = await world.replica(saying("third"));
    await second.next("remove");
    third.ready();
    assert.equal((await world.view("line")).current, null, "the first is still at it");
    await first.goLive();
    await third.next("live");
    assert.equal(await world.text("line.example"), "third");
    const states = (await world.view("line")).deployments.map(({ state }) => state);
    assert.deepEqual(states, ["live", "superseded", "replaced"]);
  });

  test("rollback deploys again what served before, from its own context", async () => {
    const one = await world.deploy("back", saying("one"), "Host:back.example");
    const two = await world.deploy("back", saying("two"), "Host:back.example");
    const response = await world.secure("/projects/back/rollback", { method: "POST", body: "{}" });
    assert.equal(response.status, 200);
    const again = await world.replica(saying("one again"));
    assert.equal(again.target.fingerprint, one.target.fingerprint);
    assert.equal((await again.attempt.context()).status, 200);
    await again.goLive();
    assert.equal(await world.text("back.example"), "one again");
    assert.equal((await world.view("back")).deployments[0]?.rollback_of, one.target.generation);
    two.close();
  });

  test("variables reach the next deployment, their names are shown and their values never", async () => {
    const body = JSON.stringify({ KEY: "very secret", OTHER: "x" });
    const set = await world.secure("/projects/env/env", { method: "PATCH", body });
    assert.deepEqual(await set.json(), { env: ["KEY", "OTHER"] });
    await world.secure("/projects/env/env", { method: "PATCH", body: '{"OTHER": null}' });
    const replica = await world.deploy("env", saying("env"), "Host:env.example");
    assert.deepEqual(replica.env, { KEY: "very secret" });
    const shown = await (await world.secure("/projects/env")).text();
    assert.ok(shown.includes('"KEY"') && !shown.includes("very secret"), shown);
    const record = await (await world.edge.call(`/builds/${replica.target.job}`)).text();
    assert.ok(!record.includes("very secret"), record);
  });

  test("several replicas go live together", async () => {
    await world.run("pair", "Host:pair.example", { replicas: 2 });
    const a = await world.replica(saying("a"));
    const b = await world.replica(saying("b"));
    a.ready();
    assert.equal((await world.view("pair")).state, "deploying");
    b.ready();
    await Promise.all([a.next("live"), b.next("live")]);
    const answers = new Set<string>();
    a.cut();
    await until("the other serves", async () => {
      const { status, body } = await world.ask("pair.example");
      if (status === 200) answers.add(body.toString());
      return answers.has("b");
    });
    b.close();
  });

  test("an app whose agent is away answers 503 with a word on it, and serves again when it is back", async () => {
    const replica = await world.deploy("away", saying("here"), "Host:away.example");
    replica.cut();
    await until("it is away", async () => (await world.view("away")).state === "down");
    const { status, headers, body } = await world.ask("away.example", "/", {
      headers: { accept: "text/html" },
    });
    assert.equal(status, 503);
    assert.match(String(headers["content-type"]), /text\/html/);
    assert.match(body.toString(), /agent/);
    await replica.reconnect();
    assert.equal(await world.text("away.example"), "here");
  });

  test("requests under way fail with 502 when the connection to the agent is cut", async () => {
    const asked = Promise.withResolvers<void>();
    const silent: Parameters<AppWorld["deploy"]>[1] = () => {
      asked.resolve();
      return { reset: () => {} };
    };
    const replica = await world.deploy("cut", silent, "Host:cut.example");
    const asking = world.ask("cut.example");
    await asked.promise;
    replica.cut();
    assert.equal((await asking).status, 502);
  });

  test("a deleted project is gone everywhere: its rule, its replicas, its list entry", async () => {
    const replica = await world.deploy("gone", saying("still here"), "Host:gone.example");
    const response = await world.secure("/projects/gone", { method: "DELETE" });
    assert.deepEqual([response.status, await response.text()], [200, ""]);
    await replica.next("remove");
    assert.notEqual(await world.text("gone.example"), "still here");
    const again = await world.secure("/projects/gone", { method: "DELETE" });
    assert.deepEqual([again.status, await again.text()], [404, "project 'gone' not found."]);
    const rows = (await (await world.secure("/list")).json()) as { project: string }[];
    assert.ok(!rows.some(({ project }) => project === "gone"));
    await assert.rejects(replica.reconnect(), /403/);
  });

  test("the longest rule that matches wins, a prefix is stripped, and the app is told where it is", async () => {
    const echo: Parameters<AppWorld["deploy"]>[1] = (stream, head) => {
      const words = JSON.stringify(head);
      stream.answer({ status: 200, headers: [], body: true });
      void stream.write(Buffer.from(words)).then(() => stream.end());
      return { reset: () => {} };
    };
    await world.deploy("all", saying("all"), "Host:long.example");
    await world.deploy("api", echo, "Host:long.example;PathPrefixStrip:/api");
    assert.equal(await world.text("long.example", "/x"), "all");
    const { headers, target } = JSON.parse(await world.text("long.example", "/api/x%20y?a=1&a=2"));
    assert.equal(target, "/x%20y?a=1&a=2");
    const of = Object.fromEntries(headers);
    assert.equal(of.host, "long.example");
    assert.equal(of["x-forwarded-prefix"], "/api");
    assert.equal(of["x-forwarded-host"], "long.example");
    assert.equal(of["x-forwarded-proto"], "http");
    assert.ok(!Object.keys(of).some((name) => name.startsWith("railhead-")));
  });

  test("bodies stream both ways", async () => {
    const echo: Parameters<AppWorld["deploy"]>[1] = (stream) => {
      stream.answer({ status: 200, headers: [], body: true });
      return {
        data: (data, taken) => void stream.write(data.slice()).then(taken),
        end: () => void stream.end(),
        reset: () => {},
      };
    };
    await world.deploy("echo", echo, "Host:echo.example");
    const body = Buffer.alloc(3_000_000, "0123456789abcdef");
    const answer = await world.ask("echo.example", "/", { method: "POST", body });
    assert.ok(answer.body.equals(body));
  });

  test("a WebSocket goes through to the app and back, with its subprotocol and its close", async () => {
    await world.deploy(
      "ws",
      (stream) => {
        stream.answer({ upgraded: true, protocol: "chat" });
        return {
          message: (message, taken) => void stream.send(message).then(taken),
          close: (code, reason) => void stream.close(code, `${reason}!`),
          reset: () => {},
        };
      },
      "Host:ws.example",
    );
    const socket = new WebSocket(`${world.edge.url.replace("http", "ws")}/`, ["chat"], {
      headers: { host: "ws.example" },
    });
    const got: string[] = [];
    await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
    assert.equal(socket.protocol, "chat");
    socket.on("message", (data, isBinary) => got.push(`${isBinary}:${String(data)}`));
    socket.send("hällo");
    socket.send(Buffer.from([1, 2, 3]));
    await until("both came back", () => got.length === 2);
    assert.deepEqual(got, ["false:hällo", `true:${Buffer.from([1, 2, 3])}`]);
    const closed = new Promise((resolve) => socket.once("close", (code) => resolve(code)));
    socket.close(3001, "bye");
    assert.equal(await closed, 3001);
  });

  test("a rule that another project has, or that names this server, is refused", async () => {
    await world.deploy("mine", saying("mine"), "Host:mine.example");
    const data = (await tarOf({ Dockerfile: "FROM scratch" })).toString("base64");
    const post = async (fields: object) => {
      const response = await world.secure("/run", { method: "POST", body: JSON.stringify(fields) });
      return [response.status, await response.text()] as const;
    };
    const taken = await post({ project: "yours", rule: "Host:mine.example", data });
    assert.equal(taken[0], 400);
    assert.match(taken[1], /mine/);
    const own = await post({ project: "yours", rule: "Host:127.0.0.1", data });
    assert.equal(own[0], 400);
    const refused: [fields: object, says: RegExp][] = [
      [{ rule: "Host:a.example", data }, /project/],
      [{ project: "-x", rule: "Host:a.example", data }, /project/],
      [{ project: "ok", rule: "Hots:a.example", data }, /Hots/],
      [{ project: "ok", rule: "Host:a.example" }, /data/],
      [{ project: "ok", rule: "Host:a.example", data: "@@@" }, /base64/],
      [{ project: "ok", rule: "Host:a.example", data: "aGVsbG8=" }, /tar/],
      [
        {
          project: "ok",
          rule: "Host:a.example",
          data: (await tarOf({ x: "" })).toString("base64"),
        },
        /Dockerfile/,
      ],
      [{ project: "ok", rule: "Host:a.example", data, replicas: 99 }, /replicas/],
    ];
    for (const [fields, says] of refused) {
      const [status, text] = await post(fields);
      assert.equal(status, 400, text);
      assert.match(text, says);
    }
  });

  test("a project comes as a form, a query, a raw tar or gzip as well", async () => {
    const tar = gzipSync(await tarOf({ "./Dockerfile": "FROM scratch" }));
    const form = new URLSearchParams({
      project: "form",
      rule: "Host:form.example",
      data: tar.toString("base64"),
    });
    const posted = await world.secure("/run", { method: "POST", body: form });
    assert.equal(posted.status, 200, await posted.text());
    const raw = await world.secure("/run?project=raw&rule=Host:raw.example", {
      method: "POST",
      body: tar,
      headers: { "content-type": "application/gzip" },
    });
    assert.equal(raw.status, 200, await raw.text());
    const bad = await world.secure("/run?project=raw&rule=Host:raw.example", {
      method: "POST",
      body: "no tar at all",
      headers: { "content-type": "application/x-tar" },
    });
    assert.equal(bad.status, 400);
    for (let i = 0; i < 2; i++) {
      const replica = await world.replica(saying(""));
      await replica.attempt.finish({ outcome: "failed", class: "build_error", reason: "enough" });
    }
  });

  test("who shows no token, or a wrong one, is told so in peroku's words", async () => {
    for (const [path, method] of [
      ["/list", "GET"],
      ["/run", "POST"],
      ["/projects/x", "DELETE"],
    ] as const)
      for (const authorization of ["", "Bearer nope", "Basic bm9wZTpub3Bl"]) {
        const headers: Record<string, string> = authorization === "" ? {} : { authorization };
        const response = await world.edge.call(path, { method, headers });
        assert.deepEqual([response.status, await response.text()], [403, "Invalid token."], path);
      }
    const basic = `bAsIc ${Buffer.from(`any:${PEROKU_TOK}`).toString("base64")}`;
    assert.equal(
      (await world.edge.call("/list", { headers: { authorization: basic } })).status,
      200,
    );
    const socket = new WebSocket(`${world.edge.url.replace("http", "ws")}/projects/x/logs`);
    const code = await new Promise((resolve) => socket.once("close", resolve));
    assert.equal(code, 4001);
  });

  test("a token with scope deploy may deploy, one with scope build may not", async () => {
    for (const [scope, status] of [
      ["deploy", 200],
      ["build", 403],
    ] as const) {
      const made = await world.edge.call("/api/tokens", {
        method: "POST",
        headers: { authorization: `Bearer ${ADMIN_TOKEN}`, "content-type": "application/json" },
        body: JSON.stringify({ scope, name: scope }),
      });
      const { token } = (await made.json()) as { token: string };
      const headers = { authorization: `Bearer ${token}` };
      assert.equal((await world.edge.call("/list", { headers })).status, status, scope);
    }
  });

  test("a log that nobody knows is 404 in peroku's words", async () => {
    const url = `${world.edge.url.replace("http", "ws")}/logs/${"0".repeat(32)}`;
    const socket = new WebSocket(url, { headers: { authorization: `Bearer ${PEROKU_TOK}` } });
    const status = await new Promise((resolve) =>
      socket.once("unexpected-response", (_, response) => resolve(response.statusCode)),
    );
    assert.equal(status, 404);
    socket.on("error", () => {});
    socket.terminate();
  });
});

function deployLog(world: AppWorld, logid: string): Promise<{ text: string; code: number }> {
  const socket = new WebSocket(`${world.edge.url.replace("http", "ws")}/logs/${logid}`, {
    headers: { authorization: `Bearer ${PEROKU_TOK}` },
  });
  let text = "";
  socket.on("message", (data) => {
    text += String(data);
  });
  return new Promise((resolve, reject) => {
    socket.once("close", (code) => resolve({ text, code }));
    socket.once("error", reject);
  });
}
