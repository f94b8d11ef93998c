import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { CREDENTIAL_CHARS } from "../shared/limits.ts";
import { gitCredentials } from "./credentials.ts";

const ADMIN = "0123456789abcdef0123456789abcdef";

function values(header: string | undefined, remote = "git.example"): string[] {
  return gitCredentials(header, remote, (token) => token === ADMIN || token.startsWith("rh_"));
}

describe("a caller's credential for a git host", () => {
  test("a token is tried as the password, then as a bearer, however it was sent", () => {
    const expected = [`Basic ${btoa("x-access-token:T0ken")}`, "Bearer T0ken"];
    for (const header of ["token T0ken", "Token T0ken", "Bearer T0ken", "bearer  T0ken", "T0ken"])
      assert.deepEqual(values(header), expected, header);
  });

  test("hosts that want a certain user name get it", () => {
    assert.equal(values("token T", "gitlab.com")[0], `Basic ${btoa("oauth2:T")}`);
    assert.equal(values("token T", "bitbucket.org")[0], `Basic ${btoa("x-token-auth:T")}`);
  });

  test("Basic is passed on as it is", () => {
    const basic = `Basic ${btoa("ada:pass:word")}`;
    assert.deepEqual(values(basic), [basic]);
  });

  test("Railhead's own tokens never reach a git host, in whatever wrapping", () => {
    for (const token of ["rh_build_abc", ADMIN])
      for (const header of [
        token,
        `Bearer ${token}`,
        `token ${token}`,
        `Basic ${btoa(`x:${token}`)}`,
        `Basic ${btoa(`${token}:`)}`,
      ])
        assert.deepEqual(values(header), [], header);
  });

  test("what is malformed is no credential", () => {
    for (const header of [
      undefined,
      "",
      " ",
      "token",
      "Basic",
      "Basic !!!",
      "Basic YWJj",
      "Basic a",
      "two words",
      "Digest username=x",
      "tök",
      "x".repeat(CREDENTIAL_CHARS + 1),
    ])
      assert.deepEqual(values(header), [], header);
  });
});
