import assert from "node:assert/strict";
import type { AddressInfo } from "node:net";
import { createServer, type Server, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { SMTPServer, type SMTPServerOptions } from "smtp-server";
import type { Learnt } from "../shared/protocol.ts";
import type { ErlangTarget, PackageAsked } from "../shared/recipes/erlang.ts";
import { until } from "../test/support/until.ts";
import { type Recipe, type RecipeContext, RecipeFailure } from "./recipes/contracts.ts";
import { registerAt, serviceOf, testHome } from "./testing/agent.ts";
import { TestEdge } from "./testing/edge.ts";

const ASKED: PackageAsked = {
  kind: "package",
  remote: "git.example",
  path: ["acme", "web"],
  namespace: "acme",
  name: "web",
  ref: "1.0.0",
  notify: true,
  depth: 0,
};
const TARGET: ErlangTarget = { recipe: "erlang", asked: ASKED, erl: "27", visibility: "public" };
const COMMITTER = "ada.lovelace@example.com";
const LEARNT: Learnt = {
  package: { version: "1.0.0", commit: "c".repeat(40), erl_version: "27", app: "web" },
  committer: COMMITTER,
};
const USER = { user: "builds", password: "p@ss word" };

type Received = { to: string[]; from: string; secure: boolean; user: string; raw: string };

/** A relay that takes mail from USER, and refuses an address that begins with `nobody`. */
async function startRelay(options: SMTPServerOptions = {}) {
  const mails: Received[] = [];
  const server = new SMTPServer({
    authMethods: ["PLAIN", "LOGIN"],
    onAuth: ({ username, password }, _session, answer) =>
      username === USER.user && password === USER.password
        ? answer(null, { user: username })
        : answer(new Error("535 no")),
    onRcptTo: ({ address }, _session, answer) =>
      answer(address.startsWith("nobody") ? new Error(`550 ${address} is unknown here`) : null),
    onData: (stream, { envelope, secure, user }, answer) => {
      void text(stream).then((raw) => {
        const { mailFrom, rcptTo } = envelope;
        mails.push({
          raw,
          secure,
          user: String(user),
          from: mailFrom ? mailFrom.address : "",
          to: rcptTo.map(({ address }) => address),
        });
        answer(null, "taken");
      });
    },
    ...options,
  });
  server.on("error", () => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.server.address() as AddressInfo;
  const login = `${USER.user}:${encodeURIComponent(USER.password)}`;
  return {
    mails,
    /** Its certificate is nobody's. */
    url: `${options.secure ? "smtps" : "smtp"}://${login}@127.0.0.1:${port}?tls.rejectUnauthorized=false`,
    close: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}

/** Prints two lines, learns what is given, and ends as `end` says. */
function recipe(learnt: Learnt, end: () => void): Recipe {
  return {
    name: "erlang",
    images: () => [],
    refuses: () => null,
    make: async (context: RecipeContext) => {
      await context.learn(learnt);
      await context.follow(printed("compiling web.erl\nweb.erl:3: syntax error\n"));
      end();
      return { made: [], repositories: [] };
    },
  };
}

async function* printed(output: string) {
  yield { stream: "stdout" as const, data: Buffer.from(output) };
}

type Run = {
  url?: string;
  learnt?: Learnt;
  target?: ErlangTarget;
  end?: () => void;
  /** Called once the result is stored. */
  stored?: () => void;
};

/** Runs one build on an agent with that relay; the edge's side of it, and the agent's log. */
async function run({ url, learnt = LEARNT, target = TARGET, end = () => {}, stored }: Run) {
  const edge = await TestEdge.start();
  const { home, remove } = testHome();
  try {
    await registerAt(edge, home);
    const mail = { url: url ?? "", from: "Railhead <builds@example.com>" };
    const { service, lines } = await serviceOf(home, async () => [], {
      recipe: recipe(learnt, end),
      settings: { mail },
      once: true,
    });
    const running = service.run();
    await edge.until("the agent says hello", () => edge.control !== null);
    const build = edge.assign({ target });
    await edge.until("the build is done", () => build.done);
    stored?.();
    await running;
    return { build, lines: lines.join("\n") };
  } finally {
    await edge.stop();
    remove();
  }
}

const failing = () => {
  throw new RecipeFailure("compile_error", "web.erl does not compile.");
};

test("a committer is told of a success once the edge has stored it, over TLS, by login", async () => {
  for (const options of [{}, { secure: true }]) {
    const relay = await startRelay(options);
    try {
      const { build, lines } = await run({ url: relay.url });
      const [mail] = relay.mails;
      assert.ok(mail !== undefined && relay.mails.length === 1, lines);
      assert.deepEqual(
        [mail.to, mail.from, mail.secure, mail.user],
        [[COMMITTER], "builds@example.com", true, USER.user],
      );
      assert.match(mail.raw, /^Subject: Built: acme\/web 1\.0\.0 for Erlang\/OTP 27\r$/m);
      assert.match(mail.raw, new RegExp(`/builds/${build.held.build}/logs`));
      assert.match(mail.raw, /^Auto-Submitted: auto-generated\r$/im);
      assert.equal(build.result?.committer, undefined, "the edge is not told whom to write to");
      assert.equal(build.result?.package?.app, "web");
      assert.doesNotMatch(lines + JSON.stringify(build.frames), /lovelace|p@ss/);
    } finally {
      await relay.close();
    }
  }
});

test("a failure says why and shows the end of the log", async () => {
  const relay = await startRelay();
  try {
    await run({ url: relay.url, end: failing });
    const raw = relay.mails[0]?.raw.replaceAll("=\r\n", "") ?? "";
    assert.match(raw, /^Subject: Failed: acme\/web 1\.0\.0 for Erlang\/OTP 27\r$/m);
    assert.match(raw, /failed: web\.erl does not compile\./);
    assert.match(raw, /ends with:\r\n\r\n {2}compiling web\.erl\r\n {2}web\.erl:3: syntax error/);
  } finally {
    await relay.close();
  }
});

test("a relay that is down, hangs or refuses ends no build otherwise, and the agent's log names nobody", async () => {
  const silent = await startSilent();
  const relay = await startRelay();
  const nobody = { ...LEARNT, committer: "nobody.lovelace@example.com" };
  try {
    for (const [url, learnt] of [
      ["smtp://127.0.0.1:9", LEARNT],
      [silent.url, LEARNT],
      [relay.url, nobody],
      [relay.url.replace(USER.user, "eve"), LEARNT],
    ] as const) {
      const { build, lines } = await run({
        url,
        learnt,
        stored: () => {
          if (url === silent.url) silent.drop();
        },
      });
      assert.equal(build.result?.outcome, "succeeded");
      assert.match(lines, /"event":"mail was not sent"/);
      assert.doesNotMatch(lines, /lovelace|p@ss|p%40ss/);
    }
    assert.equal(relay.mails.length, 0);
  } finally {
    await relay.close();
    silent.close();
  }
});

test("a password goes to another machine behind TLS alone", async () => {
  const logins: string[] = [];
  const relay = await startRelay({
    disabledCommands: ["STARTTLS"],
    allowInsecureAuth: true,
    onAuth: ({ username }, _session, answer) => {
      logins.push(username ?? "");
      answer(null, { user: username });
    },
  });
  try {
    // What leads here, too, but is no name of the loopback.
    const { lines } = await run({ url: relay.url.replace("127.0.0.1", "0.0.0.0") });
    assert.match(lines, /"event":"mail was not sent"/);
    assert.deepEqual([logins, relay.mails], [[], []]);
    await run({ url: relay.url });
    assert.deepEqual([logins.length, relay.mails.length], [1, 1]);
  } finally {
    await relay.close();
  }
});

test("an address that is none, or more than one, is written to by nobody", async () => {
  const relay = await startRelay();
  try {
    for (const committer of [
      "ada@example.com\r\nBcc: eve@example.com",
      "ada@example.com, eve@example.com",
      "ada@example.com> SIZE=1\r\nRCPT TO:<eve@example.com",
      "",
    ]) {
      const { build } = await run({ url: relay.url, learnt: { ...LEARNT, committer } });
      assert.equal(build.result?.outcome, "succeeded");
      const { build: told } = await run({ learnt: { ...LEARNT, committer } });
      assert.equal(told.result?.committer, undefined);
    }
    assert.deepEqual(relay.mails, []);
  } finally {
    await relay.close();
  }
});

test("who did not want mail gets none; without a relay the edge learns whom to write to", async () => {
  const relay = await startRelay();
  const quiet = { ...TARGET, asked: { ...ASKED, notify: false } };
  try {
    const silenced = await run({ url: relay.url, target: quiet });
    assert.equal(silenced.build.result?.committer, undefined);
    assert.equal((await run({ target: quiet })).build.result?.committer, undefined);
    assert.equal((await run({})).build.result?.committer, COMMITTER);
    assert.deepEqual(relay.mails, []);
  } finally {
    await relay.close();
  }
});

/** Takes connections and says nothing. */
async function startSilent(): Promise<{ url: string; drop: () => void; close: () => void }> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const drop = () => {
    // Only once the relay is being spoken to: the agent has to notice by itself else.
    void until("a connection", () => sockets.size > 0).then(() => {
      for (const socket of sockets) socket.destroy();
    });
  };
  const { port } = server.address() as AddressInfo;
  return { url: `smtp://127.0.0.1:${port}`, drop, close: () => server.close() };
}
