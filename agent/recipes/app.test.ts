import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { ResponseHead } from "../../shared/tunnel/index.ts";
import { webServer } from "../../test/support/app-image.ts";
import {
  type AppWorld,
  appWorld,
  type Deploy,
  type Deployed,
} from "../../test/support/app-world.ts";
import { containers, engine } from "../../test/support/engine.ts";
import { until } from "../../test/support/until.ts";
import { RecipeFailure } from "./contracts.ts";

let world: AppWorld;
before(async () => {
  world = await appWorld();
});
after(() => world[Symbol.asyncDispose]());

/** A Dockerfile whose app is a shell script. */
function app(script: string, ...lines: string[]): string {
  return [...lines, `CMD ${JSON.stringify(["sh", "-c", script])}`].join("\n");
}

async function fetched(build: string, target = "/"): Promise<string> {
  const answered = await world.edge.client(build).ask({ target, headers: [["Host", "shop"]] });
  assert.equal((answered.head as ResponseHead).status, 200);
  let text = "";
  for await (const part of answered.body) text += Buffer.from(part).toString();
  return text.trim();
}

function words({ log }: Deployed): string[] {
  return log.filter(({ stream }) => stream === undefined).map(({ msg }) => msg);
}

const running = (build: string) => containers(`railhead.app=${build}`);
const heard = (build: string) => world.edge.heard.filter((frame) => frame.build === build);

describe("a deploy", () => {
  test("builds, starts, waits until it is well, and goes live: then it serves, and its log is read", async () => {
    let permitted = 0;
    const deployed = await world.deploy({
      dockerfile: app(webServer("$GREETING")),
      env: { GREETING: "hello-from-the-env" },
      permit: async () => {
        permitted += heard(deployedBuild()).filter(({ t }) => t === "ready").length + 1;
      },
    });
    function deployedBuild(): string {
      return world.edge.heard[0]?.build ?? "";
    }
    const { build, outcome, failure, log, serve } = deployed;
    assert.equal(failure, null);
    assert.deepEqual(outcome, { made: [], repositories: [] });
    const said = words(deployed);
    assert.deepEqual(said.slice(0, 3), ["fetching context...", "building image...", "starting..."]);
    assert.match(said[3] ?? "", /^healthy after \d+\.\d s$/);
    assert.equal(said[4], "live");
    assert.ok(
      log.some(({ stream, msg }) => stream !== undefined && /^Step 1\/\d : FROM/.test(msg)),
    );
    // The permit came before it asked to serve.
    assert.equal(permitted, 1);
    const [hello, ...rest] = heard(build);
    assert.equal(hello?.t, "hello");
    assert.deepEqual(rest.at(-1), { t: "ready", attempt: 1, build });
    assert.equal(world.edge.tokens.get(build), serve);

    assert.equal(await fetched(build, "/index.html"), "hello-from-the-env");
    const { body } = await world.edge.client(build).logs({ tail: 10 });
    let lines = "";
    for await (const part of body) lines += Buffer.from(part).toString();
    const line = JSON.parse(lines) as { stream: string; data: string; time: string };
    assert.deepEqual([line.stream, line.data], ["stdout", "serving hello-from-the-env\n"]);
    assert.match(line.time, /^\d{4}-/);

    const [found] = await running(build);
    assert.equal(found?.State, "running");
    assert.equal(found?.Labels["traefik.frontend.rule"], "Host:shop.example");
    const inspected = await engine<{ HostConfig: { RestartPolicy: { Name: string } } }>(
      "GET",
      `/containers/${found?.Id}/json`,
    );
    assert.equal(inspected.HostConfig.RestartPolicy.Name, "unless-stopped");
    // What opens the socket is nowhere on the engine, and no value of the environment in the log.
    assert.ok(!JSON.stringify(inspected).includes(serve));
    assert.ok(!JSON.stringify(words(deployed)).includes("hello-from"));
  });

  test("of what the host has an image of builds nothing", async () => {
    const dockerfile = app(webServer("kept"));
    const first = await world.deploy({ dockerfile });
    assert.equal(first.failure, null);
    const again = await world.deploy({ dockerfile });
    assert.equal(again.failure, null);
    const said = words(again);
    assert.match(said[0] ?? "", /nothing to build/);
    assert.equal(said[1], "starting...");
    assert.ok(again.log.every(({ stream }) => stream === undefined));
    assert.equal(await fetched(again.build), "kept");
    assert.equal(await fetched(first.build), "kept");
  });

  test("takes layers of its project's last version, of every stage, unless it is told not to", async () => {
    const uuid = "cat /proc/sys/kernel/random/uuid";
    const dockerfile = (version: string) => `RUN ${uuid} >/made
RUN ${uuid} >/unused
FROM ${world.base}
RUN ${uuid} >/own
COPY --from=0 /made /made
${app(`cat /made /own >/tmp/ids; ${webServer(version)}`)}`;
    const deployed = async (version: string, more: Partial<Deploy> = {}) => {
      const { build, failure } = await world.deploy({
        dockerfile: dockerfile(version),
        project: "layers",
        ...more,
      });
      assert.equal(failure, null);
      assert.equal(await fetched(build, "/index.html"), version);
      return fetched(build, "/ids");
    };
    const first = await deployed("one");
    assert.equal(await deployed("two"), first);
    assert.equal(await deployed("three"), first);
    const anew = await deployed("four", { settings: { no_cache: true } });
    assert.notEqual(anew, first);
    assert.equal(await deployed("five"), anew);
    const [made, own] = anew.split("\n");
    const other = (await deployed("five", { project: "other-layers" })).split("\n");
    assert.notEqual(other[0], made);
    assert.notEqual(other[1], own);

    const { apps } = world.docker.host;
    const stages = () =>
      apps.lending("layers", async (names) => names.filter((name) => name.includes(":stage-")));
    assert.equal((await stages()).length, 1);
    await apps.trimProjects(["shop"]);
    assert.deepEqual(await stages(), []);
  });

  test("is well by its own path, on its own port, or by its HEALTHCHECK", async () => {
    const path = await world.deploy({
      dockerfile: app(`echo fine >/tmp/well; ${webServer("port", 8080)}`),
      settings: { port: 8080, health: { path: "/well" } },
    });
    assert.equal(path.failure, null);
    assert.equal(await fetched(path.build), "port");
    const check = await world.deploy({
      dockerfile: app(
        webServer("checked"),
        "HEALTHCHECK --interval=1s CMD wget -q -O /dev/null http://127.0.0.1/index.html",
      ),
    });
    assert.equal(check.failure, null);
    assert.equal(await fetched(check.build), "checked");
  });
});

describe("a deploy that fails leaves nothing of it, never asks to serve, and says why:", () => {
  const seconds = 3;
  const failures: {
    name: string;
    dockerfile: string;
    settings?: Record<string, unknown>;
    end: string;
    reason: RegExp;
  }[] = [
    {
      name: "a step of its build",
      dockerfile: "RUN echo broken step; exit 7",
      end: "build_error",
      reason: /returned a non-zero code: 7/,
    },
    {
      name: "a Dockerfile that is none",
      dockerfile: "NONSENSE here",
      end: "build_error",
      reason: /unknown instruction: NONSENSE/,
    },
    {
      name: "a crash at boot, with its status and last lines",
      dockerfile: app("echo reading config; echo no such file >&2; exit 3"),
      end: "start_error",
      reason: /ended with status 3 before it was healthy\. Its last lines:\n(?:.*\n)*no such file/,
    },
    {
      name: "a crash after it had listened for a moment",
      dockerfile: app("busybox httpd -p 80; sleep 0.6; echo that was it; exit 1"),
      end: "start_error",
      reason: /status 1.*\nthat was it/,
    },
    {
      name: "a program that is not there",
      dockerfile: 'CMD ["/no/such/program"]',
      end: "start_error",
      reason: /status 127.*\n.*\/no\/such\/program/,
    },
    {
      name: "a user that is not there",
      dockerfile: `USER nobody-there\n${app("sleep 60")}`,
      end: "start_error",
      reason: /could not be started: .*unable to find user/,
    },
    {
      name: "too little memory",
      dockerfile: app("exec busybox sort /dev/zero"),
      end: "out_of_memory",
      reason: /killed before .* for memory .* it has 64/,
    },
    {
      name: "a port that nobody listens on",
      dockerfile: app("echo waiting; sleep 60"),
      settings: { health: { seconds } },
      end: "unhealthy",
      reason: /not healthy within 3 s: nothing listens on port 80\. Its last lines:\nwaiting/,
    },
    {
      name: "a health path that answers no",
      dockerfile: app(webServer("up")),
      settings: { health: { path: "/health", seconds } },
      end: "unhealthy",
      reason: /within 3 s: GET \/health answers 404 Not Found/,
    },
    {
      name: "a HEALTHCHECK that fails",
      dockerfile: app(
        webServer("up"),
        "HEALTHCHECK --interval=1s --retries=1 CMD echo database is away; false",
      ),
      settings: { health: { seconds } },
      end: "unhealthy",
      reason: /its HEALTHCHECK said: database is away/,
    },
    {
      name: "a HEALTHCHECK that fails without a word",
      dockerfile: app(webServer("up"), "HEALTHCHECK --interval=1s --retries=1 CMD false"),
      settings: { health: { seconds } },
      end: "unhealthy",
      reason: /its HEALTHCHECK failed, and said nothing/,
    },
  ];
  for (const { name, dockerfile, settings, end, reason } of failures)
    test(name, async () => {
      const { failure, build, log } = await world.deploy({
        dockerfile,
        ...(settings && { settings }),
      });
      assert.ok(failure instanceof RecipeFailure);
      assert.equal(failure.class, end, failure.message);
      assert.match(failure.message, reason);
      assert.deepEqual(await running(build), []);
      assert.ok(heard(build).every(({ t }) => t !== "ready"));
      if (/Its last lines/.test(failure.message))
        assert.ok(log.some(({ stream }) => stream !== undefined));
      await until("its socket to close", () => !world.edge.isOpen(build));
    });

  test("the App's no", async () => {
    world.edge.verdict = { t: "refused", reason: "another project has the rule" };
    const { failure, build } = await world.deploy({ dockerfile: app(webServer("late")) });
    world.edge.verdict = { t: "live" };
    assert.ok(failure instanceof RecipeFailure);
    assert.equal(failure.message, "another project has the rule");
    assert.deepEqual(await running(build), []);
  });

  test("a cancel while it waits for its health, or for its turn", async () => {
    for (const [script, when] of [
      ["sleep 60", "hello"],
      [webServer("turn"), "ready"],
    ] as const) {
      world.edge.verdict = null;
      const cancel = new AbortController();
      const owner = world.docker.owner();
      const deploying = world.deploy({
        dockerfile: app(script),
        owner,
        signal: cancel.signal,
      });
      await until(when, () => heard(owner.build).some(({ t }) => t === when));
      cancel.abort(new Error("cancelled by its owner"));
      const { failure } = await deploying;
      assert.match(String(failure), /cancelled by its owner|aborted/);
      assert.deepEqual(await running(owner.build), []);
      world.edge.verdict = { t: "live" };
    }
  });
});
