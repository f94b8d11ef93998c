import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { RequestHead } from "../../shared/tunnel/index.ts";
import { handshakeHeaders, requestFraming } from "./proxy-headers.ts";

const length = (bytes: number): [string, string] => ["Content-Length", String(bytes)];

describe("the framing of a request", () => {
  const head = (headers: [string, string][], over: Partial<RequestHead> = {}): RequestHead => ({
    kind: "request",
    method: "POST",
    target: "/",
    headers,
    body: true,
    upgrade: false,
    ...over,
  });
  const raw = (...args: Parameters<typeof head>) => requestFraming(head(...args), "1.2.3.4:80").raw;

  test("is one that cannot be read in two ways, whatever the client sent", () => {
    const chunked = ["Host", "h", "Transfer-Encoding", "chunked"];
    const host: [string, string] = ["Host", "h"];
    assert.deepEqual(raw([host, length(5)]), ["Host", "h", "Content-Length", "5"]);
    for (const odd of ["+5", "-5", "5, 5", "0x5", "", " 5", "5e0", "9".repeat(20)])
      assert.deepEqual(raw([host, ["content-length", odd]]), chunked);
    assert.deepEqual(raw([host, length(5), length(6)]), chunked);
    for (const name of ["Transfer-Encoding", "TE", "Trailer", "Connection", "Upgrade", "Expect"])
      assert.deepEqual(raw([host, [name, "chunked"]]), chunked);
    assert.deepEqual(raw([host, length(5)], { body: false }), ["Host", "h", "Content-Length", "0"]);
    assert.deepEqual(raw([host, length(5)], { body: false, method: "GET" }), ["Host", "h"]);
    assert.deepEqual(raw([], { body: false, method: "GET" }), ["Host", "1.2.3.4:80"]);
  });

  test("of a handshake is made anew, and only its subprotocols are passed on", () => {
    assert.deepEqual(
      handshakeHeaders([
        ["Host", "h"],
        ["Sec-WebSocket-Key", "k"],
        ["Sec-WebSocket-Version", "13"],
        ["Sec-WebSocket-Extensions", "permessage-deflate"],
        ["Sec-WebSocket-Protocol", "a, b"],
        ["Connection", "Upgrade"],
        ["Upgrade", "websocket"],
        ["Origin", "https://h"],
        ["Cookie", "a=1"],
      ]),
      {
        headers: { host: ["h"], origin: ["https://h"], cookie: ["a=1"] },
        protocols: ["a", "b"],
      },
    );
  });
});
