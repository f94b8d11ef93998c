import assert from "node:assert/strict";
import type { IncomingMessage } from "node:http";
import { buffer } from "node:stream/consumers";
import { after, before, suite, test } from "node:test";
import { gzipSync } from "node:zlib";
import WebSocket from "ws";
import type { ProjectRow } from "../../shared/apps.ts";
import { appImageTag } from "../../shared/recipes/app.ts";
import { until } from "../support/until.ts";
import { type AppWorld, OWN_HOST, openAppWorld, PEROKU_TOK, saying, tarOf } from "./apps.ts";
import { ADMIN_TOKEN, problemOf } from "./edge.ts";

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

  test("a project and its row in the list have these members", async () => {
    const replica = await world.deploy("shape", saying("shape"), "Host:shape.example");
    const view = await world.view("shape");
    const row = (await list(world)).find(({ project }) => project === "shape");
    const { since } = view;
    assert.ok(since !== null && Date.parse(since) <= Date.now());
    const seen = {
      project: "shape",
      rule: "Host:shape.example",
      state: "live",
      url: `http://shape.example:${new URL(world.edge.url).port}/`,
      agent: "test",
      agents: ["test"],
      since,
    };
    assert.deepEqual(row, seen);
    const { job: build_id, fingerprint, generation, settings } = replica.target;
    const [deployment] = view.deployments;
    assert.deepEqual(view, {
      ...seen,
      image: appImageTag(fingerprint),
      current: generation,
      env: [],
      replicas: [
        { generation, replica: 0, agent: "test", state: "healthy", restarts: 0, build_id },
      ],
      deployments: [
        {
          generation,
          state: "live",
          build_id,
          rule: "Host:shape.example",
          settings,
          rollback_of: null,
          kept: true,
          reason: null,
          created_at: deployment?.created_at,
          live_at: since,
          ended_at: null,
        },
      ],
    });
  });

  test("a project is listed while its first deploy goes on, and when it failed; it answers nobody", async () => {
    const rowOf = async () => (await list(world)).find(({ project }) => project === "first");
    const rule = "Host:first.example";
    await world.run("first", rule);
    const replica = await world.replica(saying("never"));
    assert.partialDeepStrictEqual(await rowOf(), { state: "deploying", rule, agent: null });
    await replica.attempt.finish({ outcome: "failed", class: "build_error", reason: "no" });
    await replica.next("remove");
    assert.partialDeepStrictEqual(await rowOf(), { state: "failed", rule, agent: null });
    assert.notEqual(await world.text("first.example"), "never");
    await world.deploy("second", saying("second"), rule);
    assert.equal(await world.text("first.example"), "second");
    const deleted = await world.secure("/projects/first", { method: "DELETE" });
    assert.equal(deleted.status, 200);
    assert.equal(await rowOf(), undefined);
    assert.equal(await world.text("first.example"), "second");
  });

  test("an app whose object slept while nothing happened answers the next request", async () => {
    const replica = await world.deploy("sleepy", saying("awake"), "Host:sleepy.example");
    for (const _ of ["once", "and again"]) {
      await world.edge.hibernate("APPS", "sleepy");
      const { status, body } = await world.ask("sleepy.example");
      assert.deepEqual([status, body.toString()], [200, "awake"]);
    }
    await world.edge.hibernate("APPS", "sleepy");
    await world.secure("/projects/sleepy", { method: "DELETE" });
    await replica.next("remove");
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
    const read = await deployLog(world, logid);
    assert.match(read.frames.at(-1) ?? "", /^.*The app ended with status 1: no such file\.\n$/);
    assert.equal(read.code, 1000);
    assert.deepEqual(await deployLog(world, logid), read, "it may be read again");
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

  test("a rollback that cannot be is told what may be gone back to, or what its body looks like", async () => {
    const rollback = async (project: string, body: string) => {
      const path = `/projects/${project}/rollback`;
      const response = await world.secure(path, { method: "POST", body });
      return [response.status, (await problemOf(response)).detail];
    };
    assert.deepEqual(await rollback("nope", '{"to": 1}'), [404, "project 'nope' not found."]);
    await world.deploy("once", saying("once"), "Host:once.example");
    const { current } = await world.view("once");
    assert.deepEqual(await rollback("once", "{}"), [
      404,
      `once cannot go back: nothing served before generation ${current}.`,
    ]);
    assert.deepEqual(await rollback("once", '{"to": 99}'), [
      404,
      `once cannot go back to generation 99: of those that served it keeps the last 5, now ${current}.`,
    ]);
    const wanted =
      'It is a JSON object such as {"to": 3}, or empty for the version that served before.';
    for (const [body, says] of [
      ['{"generation": 1}', `The body is refused: Unrecognized key: "generation". ${wanted}`],
      ['{"to": "1"}', '"to" is refused: Invalid input: expected number, received string.'],
      ["[1]", `The body is refused: Invalid input: expected object, received array. ${wanted}`],
      ["to=1", `The body is no JSON. ${wanted}`],
    ] as const)
      assert.deepEqual(await rollback("once", body), [400, says]);
    assert.equal((await world.view("once")).deployments.length, 1);
  });

  test("a variable that is refused is named, with what is allowed; so is a body that is none", async () => {
    for (const [body, says] of [
      [
        '{"A": "1", "1X": "2"}',
        '"1X" is refused: a name is a letter or _, then letters, digits or _: at most 128 in all.',
      ],
      ['{"KEY": "\\u0000"}', '"KEY" is refused: it must not hold a NUL.'],
      ['{"KEY": 1}', '"KEY" is refused: Invalid input: expected string, received number.'],
      [
        "null",
        'The body is refused: Invalid input: expected record, received null. It is a JSON object such as {"KEY": "value", "OLD": null}: null unsets.',
      ],
    ] as const) {
      const response = await world.secure("/projects/named/env", { method: "PATCH", body });
      assert.equal(response.status, 400);
      assert.equal((await problemOf(response)).detail, says);
    }
    const body = JSON.stringify({ ["K".repeat(1_000_000)]: "x" });
    const response = await world.secure("/projects/named/env", { method: "PATCH", body });
    assert.equal(response.status, 413);
  });

  test("variables reach the next deployment, their names are shown and their values never", async () => {
    const body = JSON.stringify({ KEY: "very secret", OTHER: "x" });
    const set = await world.secure("/projects/env/env", { method: "PATCH", body });
    assert.deepEqual(await set.json(), { env: ["KEY", "OTHER"] });
    await world.secure("/projects/env/env", { method: "PATCH", body: '{"OTHER": null}' });
    const { state, rule, url, env } = await world.view("env");
    assert.deepEqual([state, rule, url, env], ["new", "", null, ["KEY"]]);
    const replica = await world.deploy("env", saying("env"), "Host:env.example");
    assert.deepEqual(replica.env, { KEY: "very secret" });
    const shown = await (await world.secure("/projects/env")).text();
    assert.ok(shown.includes('"KEY"') && !shown.includes("very secret"), shown);
    const record = await (await world.edge.call(`/builds/${replica.target.job}`)).text();
    assert.ok(!record.includes("very secret"), record);
  });

  test("variables that are too many together are refused with how many there are and may be", async () => {
    const value = "x".repeat(30_000);
    const patch = (name: string) =>
      world.secure("/projects/many/env", {
        method: "PATCH",
        body: JSON.stringify({ [name]: value }),
      });
    for (const name of ["A", "B"]) assert.equal((await patch(name)).status, 200);
    const refused = await patch("C");
    const { code, detail } = (await refused.json()) as Record<string, string>;
    assert.deepEqual([refused.status, code], [400, "bad_body"]);
    assert.match(detail ?? "", /many would have 90022 characters .* may have 65536/);
    assert.deepEqual((await world.view("many")).env, ["A", "B"]);
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
    const ask = async () => {
      const { status, body } = await world.ask("pair.example");
      if (status === 200) answers.add(body.toString());
    };
    await until("both serve, also one request after the other", async () => {
      await ask();
      return answers.size === 2;
    });
    answers.clear();
    a.cut();
    await until("the other serves", async () => {
      await ask();
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
    assert.match(body.toString(), /cannot be reached at the moment\. Try again in a while\./);
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
    for (const rule of [
      "Host:127.0.0.1",
      "Host:Railhead.Example;PathPrefix:/x",
      "Host(`a.example`) || Host(`railhead.example.`)",
    ]) {
      const [status, text] = await post({ project: "yours", rule, data });
      assert.equal(status, 400, rule);
      assert.match(text, /server's own name.*choose another host/, rule);
    }
    const refused: [fields: object, says: RegExp][] = [
      [{ rule: "Host:a.example", data }, /"project\\" is missing\."/],
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
      [{ project: "ok", rule: "Host:a.example", data: data.slice(0, 688) }, /tar.*cut off/],
      [{ project: "ok", rule: "Host:a.example", data, replicas: 99 }, /replicas/],
    ];
    for (const [fields, says] of refused) {
      const [status, text] = await post(fields);
      assert.equal(status, 400, text);
      assert.match(text, says);
    }
  });

  test("an app that takes every path gets nothing that is sent to the Worker's own hosts", async () => {
    await world.deploy("greedy", saying("greedy"), "PathPrefix:/");
    assert.equal(await world.text("anything.example", "/healthz"), "greedy");
    for (const host of [OWN_HOST, "railhead.example", "RAILHEAD.example.", "localhost:1"])
      assert.notEqual(await world.text(host, "/healthz"), "greedy", host);
    await world.secure("/projects/greedy", { method: "DELETE" });
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

  test("a project comes as multipart, its tar before, between or behind its fields", async () => {
    // More than a body that is read at once may hold.
    const large = await tarOf({ Dockerfile: "FROM scratch", x: "x".repeat(17 * 1024 * 1024) });
    const fields: [name: string, value: string][] = [
      ["project", "parts"],
      ["rule", "Host:parts.example"],
      ["port", "8080"],
    ];
    for (const at of [0, 1, 3]) {
      const form = new FormData();
      for (const [name, value] of fields.slice(0, at)) form.append(name, value);
      form.append("data", new Blob([new Uint8Array(large)]), "project.tar");
      for (const [name, value] of fields.slice(at)) form.append(name, value);
      const posted = await world.secure("/run", { method: "POST", body: form });
      assert.equal(posted.status, 200, await posted.text());
      const { attempt, target } = await world.replica(saying(""));
      assert.deepEqual([target.settings.port, target.context.size], [8080, large.length]);
      await attempt.finish({ outcome: "failed", class: "build_error", reason: "enough" });
    }
    const text = new FormData();
    for (const [name, value] of fields) text.append(name, value);
    text.append("data", (await tarOf({ Dockerfile: "FROM scratch" })).toString("base64"));
    const posted = await world.secure("/run", { method: "POST", body: text });
    assert.equal(posted.status, 200, await posted.text());
    const { attempt } = await world.replica(saying(""));
    await attempt.finish({ outcome: "failed", class: "build_error", reason: "enough" });
  });

  test("a multipart that lacks something is told what, and nothing of it is kept", async () => {
    const kept = async () =>
      (await world.edge.bucket.list({ prefix: "apps/" })).objects.map(({ key }) => key);
    const before = await kept();
    const tar = new Blob([new Uint8Array(await tarOf({ Dockerfile: "FROM scratch" }))]);
    const refused: [parts: [name: string, value: string | Blob][], says: RegExp][] = [
      [[["data", tar]], /"project" is missing/],
      [
        [
          ["data", tar],
          ["project", "parts"],
        ],
        /"rule" is missing/,
      ],
      [
        [
          ["project", "parts"],
          ["rule", "Host:a.example"],
        ],
        /"data" is missing/,
      ],
      [
        [
          ["data", tar],
          ["data", tar],
        ],
        /"data" .*twice/,
      ],
      [[["tar", tar]], /"tar" .*"data"/],
      [
        [
          ["data", new Blob(["no tar"])],
          ["project", "parts"],
          ["rule", "Host:a.example"],
        ],
        /no tar/,
      ],
      [
        [
          ["project", "-x"],
          ["rule", "Host:a.example"],
          ["data", tar],
        ],
        /"project"/,
      ],
    ];
    for (const [parts, says] of refused) {
      const form = new FormData();
      for (const [name, value] of parts)
        if (typeof value === "string") form.append(name, value);
        else form.append(name, value, "file");
      const response = await world.secure("/run", { method: "POST", body: form });
      const { status, detail } = await problemOf(response);
      assert.equal(status, 400, detail);
      assert.match(detail, says);
    }
    assert.deepEqual(
      (await kept()).filter((key) => !before.includes(key)),
      [],
    );
  });

  test("a body that is too large to be read at once is 413, and says how it would go", async () => {
    const large = "A".repeat(23 * 1024 * 1024);
    const form = new FormData();
    form.append("data", large);
    for (const body of [
      JSON.stringify({ project: "large", rule: "Host:large.example", data: large }),
      new URLSearchParams({ project: "large", data: large }),
      form,
    ]) {
      const response = await world.secure("/run", { method: "POST", body });
      assert.equal(response.status, 413);
      const { code, detail } = await problemOf(response);
      assert.equal(code, "too_large");
      assert.match(detail, /application\/x-tar/);
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
    for (const path of ["/projects/x/logs", `/logs/${"0".repeat(32)}`])
      for (const headers of [{}, { authorization: "Bearer nope" }]) {
        const socket = new WebSocket(`${world.edge.url.replace("http", "ws")}${path}`, { headers });
        const closed = new Promise((resolve) =>
          socket.once("close", (code, reason) => resolve([code, String(reason)])),
        );
        assert.deepEqual(await closed, [4001, "invalid token"], path);
      }
    const basic = `bAsIc ${Buffer.from(`any:${PEROKU_TOK}`).toString("base64")}`;
    assert.equal(
      (await world.edge.call("/list", { headers: { authorization: basic } })).status,
      200,
    );
  });

  test("a token with scope deploy may deploy, one with scope build may not", async () => {
    for (const [scope, status] of [
      ["deploy", 200],
      ["build", 403],
    ] as const) {
      const headers = { authorization: `Bearer ${await tokenOf(world, scope)}` };
      assert.equal((await world.edge.call("/list", { headers })).status, status, scope);
    }
  });

  test("whoever deployed may cancel the deploy, with a deploy token or peroku's; no other deploy token may", async () => {
    const [mine, other] = [await tokenOf(world, "deploy"), await tokenOf(world, "deploy")];
    const cancel = (logid: string, headers: Record<string, string>) =>
      world.edge.call(`/builds/${logid}`, { method: "DELETE", headers });
    const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
    const data = (await tarOf({ Dockerfile: "FROM scratch" })).toString("base64");
    for (const [token, stranger] of [
      [mine, other],
      [PEROKU_TOK, mine],
      [mine, PEROKU_TOK],
    ] as const) {
      const body = JSON.stringify({ project: "stopped", rule: "Host:stopped.example", data });
      const init = { method: "POST", headers: bearer(token), body };
      const { logid } = (await (await world.edge.call("/run", init)).json()) as { logid: string };
      const { attempt } = await world.replica(saying("never"));
      assert.equal((await cancel(logid, {})).status, 401);
      assert.equal((await cancel(logid, bearer("nope"))).status, 401);
      assert.equal((await cancel(logid, bearer(await tokenOf(world, "agent")))).status, 403);
      assert.equal((await cancel(logid, bearer(stranger))).status, 403);
      assert.equal((await cancel(logid, { "railhead-token": token })).status, 202);
      assert.equal((await cancel(logid, bearer(token))).status, 202);
      await attempt.cancelled();
      await attempt.finish({ outcome: "cancelled" });
      await until("the deploy has ended", async () => {
        const [deployment] = (await world.view("stopped")).deployments;
        return deployment?.state === "failed" && /cancelled/.test(deployment.reason ?? "");
      });
    }
  });

  test("all viewers of an app's log get the same lines", async () => {
    const lines = ["one", "two"].map((data) => JSON.stringify({ stream: "stdout", data }));
    await world.deploy(
      "seen",
      (stream) => {
        stream.answer({ status: 200, headers: [], body: true });
        void stream.write(Buffer.from(`${lines.join("\n")}\n`)).then(() => stream.end());
        return { reset: () => {} };
      },
      "Host:seen.example",
    );
    const view = () => socketOf(world, "/projects/seen/logs?follow=0");
    const read = { frames: lines, code: 1000 };
    assert.deepEqual(await Promise.all([view(), view(), view()]), [read, read, read]);
  });

  test("a log that nobody knows is 404 in peroku's words", async () => {
    const url = `${world.edge.url.replace("http", "ws")}/logs/${"0".repeat(32)}`;
    const socket = new WebSocket(url, { headers: { authorization: `Bearer ${PEROKU_TOK}` } });
    socket.on("error", () => {});
    const response = await new Promise<IncomingMessage>((resolve) =>
      socket.once("unexpected-response", (_, answer) => resolve(answer)),
    );
    const words = String(await buffer(response));
    assert.deepEqual([response.statusCode, words], [404, "logging endpoint not found"]);
    socket.terminate();
  });
});

async function list(world: AppWorld): Promise<ProjectRow[]> {
  return (await (await world.secure("/list")).json()) as ProjectRow[];
}

/** A new token of that scope. */
async function tokenOf(world: AppWorld, scope: string): Promise<string> {
  const made = await world.edge.call("/api/tokens", {
    method: "POST",
    headers: { authorization: `Bearer ${ADMIN_TOKEN}`, "content-type": "application/json" },
    body: JSON.stringify({ scope, name: scope }),
  });
  return ((await made.json()) as { token: string }).token;
}

function deployLog(world: AppWorld, logid: string): Promise<{ frames: string[]; code: number }> {
  return socketOf(world, `/logs/${logid}`);
}

/** All that a WebSocket says until it is closed. */
function socketOf(world: AppWorld, path: string): Promise<{ frames: string[]; code: number }> {
  const socket = new WebSocket(`${world.edge.url.replace("http", "ws")}${path}`, {
    headers: { authorization: `Bearer ${PEROKU_TOK}` },
  });
  const frames: string[] = [];
  socket.on("message", (data) => frames.push(String(data)));
  return new Promise((resolve, reject) => {
    socket.once("close", (code) => resolve({ frames, code }));
    socket.once("error", reject);
  });
}
