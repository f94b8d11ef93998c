import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { hostName, isOwnHost, whyOwn } from "./hosts.ts";

describe("the Worker's own hosts", () => {
  test("nobody said which they are: all are, but those that only a machine itself reaches", () => {
    for (const env of [{}, { RAILHEAD_HOSTS: "" }, { RAILHEAD_HOSTS: "  " }]) {
      for (const host of ["railhead.acc.workers.dev", "shop.example", "127.0.0.1", "localhost"])
        assert.ok(isOwnHost(env, host), host);
      for (const host of ["shop.localhost", "A.b.LOCALHOST", "shop.localhost."])
        assert.ok(!isOwnHost(env, host), host);
    }
    assert.match(whyOwn({}, "shop.example") ?? "", /operator.*RAILHEAD_HOSTS.*operating\.md/);
  });

  test("named, they are exactly these, whatever the case, the port and the root's dot", () => {
    const env = { RAILHEAD_HOSTS: "Railhead.example\t127.0.0.1:8787 [::1]:80 localhost" };
    for (const host of [
      "railhead.example",
      "RAILHEAD.example",
      "railhead.example.",
      "127.0.0.1",
      "127.1",
      "[::1]",
      "localhost",
    ])
      assert.ok(isOwnHost(env, host), host);
    for (const host of ["shop.example", "a.railhead.example", "railhead.example.org", "127.0.0.2"])
      assert.ok(!isOwnHost(env, host), host);
    assert.equal(whyOwn(env, "shop.example"), null);
    assert.match(whyOwn(env, "railhead.example") ?? "", /railhead\.example.*another/);
  });

  test("a word that is no host protects everything, not nothing", () => {
    for (const word of [
      "https://a.example",
      "a.example/path",
      "*.a.example",
      "a@b",
      "a:b",
      "[::1",
    ]) {
      assert.equal(hostName(word), null, word);
      assert.ok(isOwnHost({ RAILHEAD_HOSTS: `a.example ${word}` }, "shop.example"), word);
    }
  });
});
