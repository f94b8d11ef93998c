import assert from "node:assert/strict";
import { test } from "node:test";
import { DockerError } from "./contracts.ts";
import { inStream, mapped } from "./errors.ts";

function http(statusCode: number, message: string): Error {
  return Object.assign(new Error(`(HTTP code ${statusCode}) unexpected - ${message} `), {
    statusCode,
    json: { message },
  });
}

test("each answer of the engine becomes the kind that callers decide by", () => {
  const cases: [Error, string][] = [
    [http(400, "invalid reference format"), "invalid"],
    [http(404, "No such container: x"), "gone"],
    [http(404, "Could not find the file /a in container x"), "not_found"],
    [http(404, "No such image: x:1"), "not_found"],
    [http(409, "The container name is already in use"), "conflict"],
    [http(403, "network x has active endpoints"), "conflict"],
    [http(500, "unauthorized: authentication required"), "auth"],
    [http(500, "something broke"), "unavailable"],
    [Object.assign(new Error("connect ENOENT"), { code: "ENOENT" }), "unavailable"],
    [Object.assign(new Error("connect EACCES"), { code: "EACCES" }), "unavailable"],
    [Object.assign(new Error("aborted"), { name: "AbortError" }), "timeout"],
  ];
  for (const [thrown, kind] of cases) {
    assert.equal(mapped(thrown, "do it").kind, kind, thrown.message);
  }
});

test("the message says what was tried and what the engine said, once", () => {
  const error = mapped(http(404, "No such container: x"), "start the container");
  assert.equal(error.message, "cannot start the container: No such container: x");
  assert.equal(error.status, 404);
});

test("of a streamed answer, which dockerode does not parse, the engine's own sentence is left", () => {
  const message =
    '(HTTP code 500) server error - Get "https://registry.example/v2/": no such host ';
  const error = mapped(Object.assign(new Error(message), { statusCode: 500 }), "pull x:1");
  assert.equal(error.said, 'Get "https://registry.example/v2/": no such host');
});

test("an engine that is not there, or not for us, comes with what to do", () => {
  const refused = Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" });
  assert.match(mapped(refused, "do it").message, /is the Docker engine running\?$/);
  const denied = Object.assign(new Error("connect EACCES"), { code: "EACCES" });
  assert.match(mapped(denied, "do it").message, /group docker$/);
});

test("a DockerError passes through unchanged", () => {
  const error = new DockerError("timeout", "too late");
  assert.equal(mapped(error, "do it"), error);
});

test("what a registry says in the stream of a pull is told apart", () => {
  assert.equal(inStream("pull access denied for x", "pull").kind, "auth");
  assert.equal(inStream("manifest for x:9 not found: manifest unknown", "pull").kind, "not_found");
  assert.equal(inStream("dial tcp: connection refused", "pull").kind, "unavailable");
});
