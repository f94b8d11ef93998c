import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Problem } from "../shared/problem.ts";
import { poolFor, readConfig } from "./config.ts";

const SECRETS = { RAILHEAD_TOKEN: "t".repeat(32), RAILHEAD_SECRET: "s".repeat(32) };
const PLAIN = { RAILHEAD_REMOTES: "", RAILHEAD_OPEN_BUILDS: "", RAILHEAD_POOLS: "", ...SECRETS };

function refused(settings: Record<string, string>): string {
  try {
    readConfig({ ...PLAIN, ...settings });
  } catch (error) {
    assert.ok(error instanceof Problem);
    assert.equal(error.code, "not_ready");
    return error.message;
  }
  return assert.fail(`accepted ${JSON.stringify(settings)}`);
}

describe("the Worker's settings", () => {
  test("nothing set means the four public hosts and builds for token holders", () => {
    const config = readConfig(PLAIN);
    assert.deepEqual([...config.remotes.keys()].sort(), [
      "bitbucket.org",
      "codeberg.org",
      "github.com",
      "gitlab.com",
    ]);
    assert.equal(config.remotes.get("github.com"), "https://github.com");
    assert.equal(config.openBuilds, false);
  });

  test("an entry may name another base, with a path or on the loopback", () => {
    const { remotes } = readConfig({
      ...PLAIN,
      RAILHEAD_REMOTES: "github.com Git.Example=http://127.0.0.1:3999 ghe.example=https://x.y/git/",
    });
    assert.equal(remotes.get("git.example"), "http://127.0.0.1:3999");
    assert.equal(remotes.get("ghe.example"), "https://x.y/git");
  });

  test("mail and webhooks are off unless they are set, and mail is not set by halves", () => {
    assert.deepEqual([readConfig(PLAIN).mail, readConfig(PLAIN).gitSecret], [null, null]);
    const mail = {
      RAILHEAD_MAIL_URL: "https://mail.example/emails",
      RAILHEAD_MAIL_FROM: "Railhead <builds@example.com>",
      RAILHEAD_MAIL_TOKEN: "token",
      RAILHEAD_HOSTS: "railhead.example other.example",
    };
    const config = readConfig({ ...PLAIN, ...mail, GIT_SECRET: "hook" });
    assert.equal(config.gitSecret, "hook");
    assert.deepEqual(config.mail, {
      url: mail.RAILHEAD_MAIL_URL,
      from: mail.RAILHEAD_MAIL_FROM,
      token: "token",
      origin: "https://railhead.example",
    });
    const local = { ...mail, RAILHEAD_HOSTS: "127.0.0.1:8787" };
    assert.equal(readConfig({ ...PLAIN, ...local }).mail?.origin, "http://127.0.0.1:8787");
    for (const [name, value] of [
      ["RAILHEAD_MAIL_URL", "http://mail.example/emails"],
      ["RAILHEAD_MAIL_URL", "mail.example"],
      ["RAILHEAD_MAIL_FROM", ""],
      ["RAILHEAD_MAIL_FROM", "Railhead\n<builds@example.com>"],
      ["RAILHEAD_MAIL_TOKEN", ""],
      ["RAILHEAD_HOSTS", ""],
    ] as const) {
      const settings: Record<string, string> = { ...mail, [name]: value };
      assert.match(refused(settings), new RegExp(name), `${name}=${value}`);
    }
  });

  test("a setting that cannot be read is named, never ignored", () => {
    for (const entry of [
      "localhost",
      "a.b=ftp://a.b",
      "a.b=http://a.b",
      "a.b=https://user:pw@a.b",
      "a.b=",
      "a.b=nonsense",
      "a.b=https://a.b?x",
      "a.b a.b",
      "=https://a.b",
      "-a.b",
    ])
      assert.match(refused({ RAILHEAD_REMOTES: entry }), /RAILHEAD_REMOTES/, entry);
    assert.match(refused({ RAILHEAD_OPEN_BUILDS: "yes" }), /RAILHEAD_OPEN_BUILDS/);
    for (const entry of ["x", "=pool", "go=", "go=UPPER", "github.com//x=p", "go=a b"])
      assert.match(refused({ RAILHEAD_POOLS: entry }), /RAILHEAD_POOLS/, entry);
    for (const entry of ["railhead.example/path", "a.example https://b.example", "*.a.example"])
      assert.match(refused({ RAILHEAD_HOSTS: entry }), /RAILHEAD_HOSTS/, entry);
    for (const name of [
      "RAILHEAD_RATE_PER_MINUTE",
      "RAILHEAD_QUEUE_LIMIT",
      "RAILHEAD_EXPECT_AGENTS",
    ])
      assert.match(refused({ [name]: "many" }), new RegExp(name));
    assert.match(refused({ RAILHEAD_TOKEN: "" }), /RAILHEAD_TOKEN/);
    assert.match(refused({ RAILHEAD_SECRET: "short" }), /RAILHEAD_SECRET/);
  });

  test("the most specific pool rule wins, whatever the order", () => {
    const config = readConfig({
      ...PLAIN,
      RAILHEAD_POOLS: "github.com/own=own github.com=hub go=gophers github.com/own/tool/=tool",
    });
    assert.equal(poolFor(config, "go", "github.com/own/tool"), "tool");
    assert.equal(poolFor(config, "go", "github.com/own/other"), "own");
    assert.equal(poolFor(config, "go", "github.com/owner/other"), "hub");
    assert.equal(poolFor(config, "go", "gitlab.com/own/tool"), "gophers");
    assert.equal(poolFor(config, "image", "gitlab.com/own/tool"), "default");
  });
});
