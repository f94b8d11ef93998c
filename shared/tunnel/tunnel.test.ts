import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeFrame, encodeFrame, type OpenHead, type RequestHead } from "./frames.ts";
import {
  DATA_BYTES,
  FIRST_CREDIT,
  HEAD_BYTES,
  MESSAGE_BYTES,
  MOST_CREDIT,
  SHARED_CREDIT,
  TUNNEL_STREAMS,
} from "./limits.ts";
import { type StreamEvents, StreamReset, type TunnelStream } from "./stream.ts";
import { type Opened, Tunnel } from "./tunnel.ts";

const GET: RequestHead = {
  kind: "request",
  method: "GET",
  target: "/",
  headers: [],
  body: false,
  upgrade: false,
};
const POST: RequestHead = { ...GET, method: "POST", body: true };
const SOCKET: RequestHead = { ...GET, upgrade: true };

/** Two ends on a wire that delivers in order, later, and counts what is under way. */
function pair(serve: Opened) {
  const wire: { to: Tunnel; bytes: Uint8Array }[] = [];
  let delivering = false;
  const post = (to: () => Tunnel) => (bytes: Uint8Array) => {
    wire.push({ to: to(), bytes: bytes.slice() });
    if (!delivering) {
      delivering = true;
      setImmediate(deliver);
    }
  };
  function deliver() {
    delivering = false;
    for (const { to, bytes } of wire.splice(0)) to.receive(bytes);
  }
  const edge: Tunnel = new Tunnel({ send: post(() => agent), room: () => null }, null);
  const agent: Tunnel = new Tunnel({ send: post(() => edge), room: () => null }, serve);
  /** Settles when nothing is under way, and nobody sends: each had its turn more than once since the last frame. */
  async function quiet(): Promise<void> {
    for (let idle = 0; idle < 3; idle = wire.length === 0 ? idle + 1 : 0)
      await new Promise((resolve) => setImmediate(resolve));
  }
  return { edge, agent, quiet };
}

type Got = { status: number | null; bytes: number; text: string };

/** Asks, and reads the answer to its end. */
function ask(edge: Tunnel, head: OpenHead): Promise<Got> {
  return new Promise((resolve, reject) => {
    const got: Got = { status: null, bytes: 0, text: "" };
    edge.open(head, {
      head: (head) => {
        got.status = "upgraded" in head ? 101 : head.status;
      },
      data: (data, taken) => {
        got.bytes += data.length;
        if (got.text.length < 1_000) got.text += new TextDecoder().decode(data);
        taken();
      },
      end: () => resolve(got),
      reset: (code, message) => reject(new StreamReset(code, message)),
    });
  });
}

/** Hears nothing. */
const deaf: StreamEvents = { reset: () => {} };

/** Answers as `speak` does, and stops quietly when nobody listens any more. */
function serve(speak: (stream: TunnelStream, target: string) => Promise<void>): Opened {
  return (stream, head) => {
    speak(stream, head.kind === "request" ? head.target : "").catch((error: unknown) =>
      assert.ok(error instanceof StreamReset),
    );
    return deaf;
  };
}

const OK = { status: 200, headers: [], body: true };

test("a request without a body gets its answer, and nothing stays open", async () => {
  const { edge, agent } = pair(
    serve(async (stream, target) => {
      stream.answer(OK);
      await stream.write(new TextEncoder().encode(`GET ${target}`));
      await stream.end();
    }),
  );
  assert.deepEqual(await ask(edge, GET), { status: 200, bytes: 5, text: "GET /" });
  assert.deepEqual([edge.size, agent.size], [0, 0]);
});

test("bodies stream both ways at once, byte for byte", async () => {
  const { edge } = pair((stream) => {
    stream.answer(OK);
    return {
      data: (data, taken) => void stream.write(data.slice()).then(taken),
      end: () => void stream.end(),
      reset: () => {},
    };
  });
  const sent = new Uint8Array(5_000_000).map((_, i) => i % 251);
  const received: Uint8Array[] = [];
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const stream = edge.open(POST, {
    data: (data, taken) => {
      received.push(data.slice());
      taken();
    },
    end: resolve,
    reset: (_, message) => reject(new Error(message)),
  });
  await stream?.write(sent);
  await stream?.end();
  await promise;
  assert.ok(Buffer.concat(received).equals(sent));
});

test("a reader that takes nothing stops its own stream after the first credit, and no other", async () => {
  let sent = 0;
  const chunk = new Uint8Array(1_000);
  const { edge, quiet } = pair(
    serve(async (stream, target) => {
      stream.answer(OK);
      while (target === "/slow") {
        await stream.write(chunk);
        sent += chunk.length;
      }
      await stream.write(chunk);
      await stream.end();
    }),
  );
  const slow = edge.open({ ...GET, target: "/slow" }, deaf);
  await quiet();
  assert.ok(sent <= FIRST_CREDIT && sent > FIRST_CREDIT - 1_000, `${sent}`);
  for (let i = 0; i < 20; i++) assert.equal((await ask(edge, GET)).bytes, 1_000);
  slow?.reset("cancelled", "gone");
  assert.equal(edge.size, 0);
});

test("what an end keeps is bounded by the first credits and the shared one, however many streams there are", async () => {
  let kept = 0;
  const { edge, quiet } = pair(
    serve(async (stream) => {
      stream.answer(OK);
      const chunk = new Uint8Array(DATA_BYTES);
      for (;;) await stream.write(chunk);
    }),
  );
  const streams = 100;
  for (let i = 0; i < streams; i++) {
    let taken = 0;
    edge.open(GET, {
      // Keeps up for a while, so that its window grows; then stops.
      data: (data, done) => {
        taken += data.length;
        if (taken < MOST_CREDIT) done();
        else kept += data.length;
      },
      reset: () => {},
    });
  }
  await quiet();
  assert.ok(kept > streams * FIRST_CREDIT);
  assert.ok(kept <= streams * FIRST_CREDIT + SHARED_CREDIT, `${kept}`);
  edge.cut("done");
});

test("a client that goes away resets the stream at the other end, which stops writing", async () => {
  const heard: string[] = [];
  const { edge, agent, quiet } = pair((stream) => {
    const write = async () => {
      for (;;) await stream.write(new Uint8Array(10));
    };
    stream.answer(OK);
    write().catch(() => heard.push("write failed"));
    return { reset: (code) => heard.push(code) };
  });
  const begun = Promise.withResolvers<void>();
  const stream = edge.open(GET, {
    data: (_, taken) => {
      begun.resolve();
      taken();
    },
    reset: () => heard.push("told"),
  });
  await begun.promise;
  stream?.reset("cancelled", "the client went away");
  await quiet();
  assert.deepEqual(heard.sort(), ["cancelled", "write failed"]);
  assert.deepEqual([edge.size, agent.size], [0, 0]);
});

test("an edge that begins anew ends the streams of before at the agent, and may count from the start", async () => {
  const heard: string[] = [];
  const agent = new Tunnel({ send: () => {}, room: () => null }, () => ({
    reset: (code) => heard.push(code),
  }));
  agent.receive(encodeFrame({ t: "open", stream: 1, head: POST }));
  agent.receive(encodeFrame({ t: "fresh", stream: 0 }));
  assert.deepEqual(heard, ["broken"]);
  agent.receive(encodeFrame({ t: "open", stream: 1, head: POST }));
  assert.equal(agent.size, 1);
});

test("a cut socket fails every stream on it", async () => {
  const { edge } = pair(() => deaf);
  const waiting = [ask(edge, GET), ask(edge, POST)];
  edge.cut("the agent's socket was cut");
  for (const one of waiting) await assert.rejects(one, { code: "broken" });
  assert.equal(edge.size, 0);
});

test("messages of a WebSocket arrive whole, in order, as text or bytes, up to the limit", async () => {
  const { edge } = pair((stream) => {
    stream.answer({ upgraded: true, protocol: null });
    return {
      message: (message, taken) => void stream.send(message).then(taken),
      close: (code, reason) => void stream.close(code, reason),
      reset: () => {},
    };
  });
  const got: (string | Uint8Array)[] = [];
  const closed = Promise.withResolvers<string>();
  const stream = edge.open(SOCKET, {
    message: (message, taken) => {
      got.push(message);
      taken();
    },
    close: (code, reason) => closed.resolve(`${code} ${reason}`),
    reset: (_, message) => closed.reject(new Error(message)),
  });
  assert.ok(stream);
  const large = new Uint8Array(MESSAGE_BYTES).fill(7);
  const frame = "x".repeat(DATA_BYTES);
  const sent = ["hällo", "", new Uint8Array(), large, frame, `${frame}y`];
  for (const message of sent) await stream.send(message);
  await stream.close(3_000, "done");
  assert.equal(await closed.promise, "3000 done");
  assert.deepEqual(got, sent);
  assert.throws(() => stream.send(new Uint8Array(MESSAGE_BYTES + 1)), /at most/);
});

test("as many streams as the limit are open at once, and one more is refused", () => {
  const edge = new Tunnel({ send: () => {}, room: () => null }, null);
  for (let i = 0; i < TUNNEL_STREAMS; i++) assert.ok(edge.open(GET, deaf));
  assert.equal(edge.open(GET, deaf), null);
});

test("a head that the other end would not take is not sent, and leaves nothing open", () => {
  const sent: Uint8Array[] = [];
  const edge = new Tunnel({ send: (frame) => void sent.push(frame), room: () => null }, null);
  const headers = (count: number) =>
    Array.from({ length: count }, (_, i): [string, string] => [`x${i}`, ""]);
  const ask = (count: number, name = "x") =>
    edge.open({ ...GET, headers: [...headers(count), [name, ""]] }, deaf);
  assert.ok(ask(1_999));
  assert.throws(() => ask(2_000), /head/);
  assert.ok(ask(0, "n".repeat(1_024)));
  assert.throws(() => ask(0, "n".repeat(1_025)), /head/);
  assert.deepEqual([edge.size, sent.length], [2, 2]);
});

test("an end that breaks the rules is told by a FrameError, not by a crash later", () => {
  const open = encodeFrame({ t: "open", stream: 1, head: POST });
  const fresh = () => {
    const agent = new Tunnel({ send: () => {}, room: () => null }, () => deaf);
    agent.receive(open);
    return agent;
  };
  const data = (bytes: number) => {
    const frame = new Uint8Array(5 + bytes);
    frame[0] = 3;
    frame[4] = 1;
    return frame;
  };
  assert.throws(() => fresh().receive(new Uint8Array([3, 0, 0])), /cut short/);
  assert.throws(() => fresh().receive(data(DATA_BYTES + 1)), /data of/);
  assert.throws(() => fresh().receive(data(0)), /data of/);
  assert.throws(() => fresh().receive(open), /used before/);
  assert.throws(() => fresh().receive(encodeFrame({ t: "end", stream: 9 })), /never opened/);
  const greedy = fresh();
  greedy.receive(data(FIRST_CREDIT));
  assert.throws(() => greedy.receive(data(1)), /credit/);
  const ended = fresh();
  ended.receive(encodeFrame({ t: "end", stream: 1 }));
  assert.throws(() => ended.receive(data(1)), /after the end/);
  const long = { ...GET, target: `/${"x".repeat(HEAD_BYTES)}` };
  assert.throws(() => encodeFrame({ t: "open", stream: 1, head: long }), /head/);
  assert.equal(decodeFrame(new Uint8Array([99, 0, 0, 0, 1])), null, "a type of a later version");
});
