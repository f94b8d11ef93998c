import assert from "node:assert/strict";
import { test } from "node:test";
import { gitSentence, publicNames } from "./git.ts";
import { Redactor } from "./redact.ts";

const HOSTS = [
  { remote: "git.example", base: "http://127.0.0.1:3977" },
  { remote: "code.example", base: "https://git.internal/mirror" },
  { remote: "open.example", base: "https://open.example" },
];

test("git, curl and Go name a host as its users do", () => {
  const redactor = new Redactor();
  redactor.rename(publicNames(HOSTS));
  for (const [said, shown] of [
    ["'http://127.0.0.1:3977/a/b.git/' not found", "'https://git.example/a/b.git/' not found"],
    ["connect to 127.0.0.1 port 3977 after 0 ms", "connect to git.example after 0 ms"],
    ["dial tcp 127.0.0.1:3977: refused", "dial tcp git.example: refused"],
    ["'https://git.internal/mirror/a'", "'https://code.example/a'"],
    ["Could not resolve host: git.internal", "Could not resolve host: code.example"],
    ["connect to git.internal port 443: refused", "connect to code.example: refused"],
    ["https://open.example/a", "https://open.example/a"],
  ] as const)
    assert.equal(redactor.text(said), shown);
});

test("what git says ends with a full stop before what to do", () => {
  assert.equal(
    gitSentence(["fatal: repository 'x' not found"]),
    "fatal: repository 'x' not found. Check the repository's name.",
  );
  assert.equal(gitSentence(["fatal: bad object"]), "fatal: bad object.");
});
