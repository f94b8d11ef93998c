import assert from "node:assert/strict";
import { test } from "node:test";
import type { AttemptUp } from "../../shared/protocol.ts";
import type { ErlangTarget, PackageAsked } from "../../shared/recipes/erlang.ts";
import { BUILD_ID, BuildWorld, PACKAGE, requestOf } from "../../test/support/build.ts";
import type { OutgoingMail } from "./build-ports.ts";

const FACTS = { version: "1.0.0", commit: "c".repeat(40), erl_version: "27", app: "web" };
const COMMITTER = "ada.lovelace@example.com";
const FAILED = { outcome: "failed", class: "compile_error", reason: "web.erl: no." } as const;

type Result = Partial<Extract<AttemptUp, { t: "result" }>>;
type Sent = OutgoingMail & { key: string };

class MailWorld extends BuildWorld {
  readonly mails: Sent[] = [];
  api: () => "sent" | "refused" | "later" = () => "sent";

  static async open(target: ErlangTarget = PACKAGE): Promise<MailWorld> {
    const world = new MailWorld();
    world.mail = {
      origin: "https://railhead.example",
      send: async (mail, key) => {
        world.mails.push({ ...mail, key });
        return world.api();
      },
    };
    await world.restart();
    await world.open(requestOf({}, target));
    await world.start();
    await world.say(1, [1, "one"], [2, "two"]);
    return world;
  }

  async end(more: Result): Promise<void> {
    await this.result(1, { last_seq: 2, package: FACTS, committer: COMMITTER, ...more });
  }

  /** Everything that the object has stored. */
  stored(): string {
    const tables = this.ports.sql.exec<{ name: string }>(
      "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
    );
    return JSON.stringify(tables.map(({ name }) => this.ports.sql.exec(`SELECT * FROM ${name}`)));
  }
}

test("a package that was built is told to its committer in one mail, and the address is forgotten", async () => {
  const world = await MailWorld.open();
  const upload = await world.upload(1, "web.cp", Buffer.from("package"));
  await world.end({ outcome: "succeeded", uploads: [upload] });
  assert.equal(await world.state(), "succeeded");
  const page = `https://railhead.example/builds/${BUILD_ID}`;
  assert.deepEqual(world.mails, [
    {
      to: COMMITTER,
      subject: "Built: acme/web 1.0.0 for Erlang/OTP 27",
      text: `acme/web 1.0.0 for Erlang/OTP 27 was built.\n\nBuild: ${page}\nLog:   ${page}/logs\n`,
      key: `railhead-${BUILD_ID}`,
    },
  ]);
  await world.ringOut();
  assert.equal(world.mails.length, 1);
  assert.doesNotMatch(world.stored(), /lovelace/);
  assert.doesNotMatch(
    JSON.stringify([await world.build.view(), world.copiedLog(), world.sent]),
    /lovelace/,
  );
});

test("a failure says why and shows the end of the log", async () => {
  const world = await MailWorld.open();
  await world.end(FAILED);
  assert.equal(world.mails[0]?.subject, "Failed: acme/web 1.0.0 for Erlang/OTP 27");
  assert.match(
    world.mails[0]?.text ?? "",
    / failed: web\.erl: no\.\n.*ends with:\n\n {2}one\n {2}two\n$/s,
  );
});

test("an API that is busy is asked again for a while, of the same mail, and the build does not wait", async () => {
  const world = await MailWorld.open();
  world.api = () => "later";
  await world.end(FAILED);
  assert.equal(await world.state(), "failed");
  assert.equal(world.last("result_ok").state, "failed");
  await world.restart();
  await world.ringOut();
  assert.ok(world.mails.length > 5 && world.mails.length < 100, `${world.mails.length}`);
  assert.equal(new Set(world.mails.map(({ key }) => key)).size, 1);
  assert.doesNotMatch(world.stored(), /lovelace/);
});

test("an API that refuses is not asked again", async () => {
  const world = await MailWorld.open();
  world.api = () => "refused";
  await world.end(FAILED);
  await world.ringOut();
  assert.equal(world.mails.length, 1);
  assert.doesNotMatch(world.stored(), /lovelace/);
});

test("nobody is written to who did not want it, or of a build that was called off, or without an API", async () => {
  const asked = { ...(PACKAGE.asked as PackageAsked), notify: false };
  const quiet = await MailWorld.open({ ...PACKAGE, asked });
  await quiet.end(FAILED);
  const cancelled = await MailWorld.open();
  await cancelled.build.cancel("admin");
  await cancelled.end({ outcome: "cancelled", class: "cancelled" });
  assert.equal(await cancelled.state(), "cancelled");
  const off = await MailWorld.open();
  off.mail = null;
  await off.restart();
  await off.end(FAILED);
  const unknown = await MailWorld.open();
  await unknown.end({ ...FAILED, committer: undefined });
  for (const world of [quiet, cancelled, off, unknown]) {
    await world.ringOut();
    assert.deepEqual(world.mails, []);
    assert.doesNotMatch(world.stored(), /lovelace/);
  }
});
