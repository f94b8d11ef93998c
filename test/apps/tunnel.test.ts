/** What streams through the edge: bodies as they come, WebSockets, and what happens when somebody goes away. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type ClientRequest, type IncomingMessage, request, type ServerResponse } from "node:http";
import { buffer, text } from "node:stream/consumers";
import { after, before, suite, test } from "node:test";
import { until } from "../support/until.ts";
import { CASE } from "./app.ts";
import { socketTests } from "./sockets.ts";
import { TunnelWorld } from "./world.ts";

const HOST = "tunnel.test";
const CHUNK = Buffer.alloc(64 * 1024, "x");
/** Bytes of a body that is more than all buffers on its way hold. */
const MUCH = 80_000_000;
/** Bytes between an end that does not read and one that cannot write any more: the kernel's buffers of each socket, and the credit. */
const UNDER_WAY = 40_000_000;
/** Bytes of memory that the app, the agent and the client, all in this process, may take for it. */
const MEMORY = 40_000_000;

suite("through the edge", () => {
  let world: TunnelWorld;
  before(async () => {
    world = await TunnelWorld.open();
    await world.deploy("tunnel", HOST);
  });
  after(() => world.close());

  /** A request under way; the app answers it with `answer`. */
  function ask(
    name: string,
    answer: (request: IncomingMessage, response: ServerResponse) => void,
    method = "GET",
  ): ClientRequest {
    world.app.answers.set(name, answer);
    const headers = { host: HOST, [CASE]: name };
    const sent = request({ port: world.port, method, headers, agent: false });
    sent.on("error", () => {});
    return sent;
  }

  async function answerOf(sent: ClientRequest): Promise<IncomingMessage> {
    const [answer] = (await once(sent, "response")) as [IncomingMessage];
    answer.on("error", () => {});
    return answer;
  }

  const hello = () => world.apps.text(HOST);

  test("an event reaches the client when the app sends it, not when the answer ends", async () => {
    const { promise, resolve } = Promise.withResolvers<ServerResponse>();
    const sent = ask("events", (_, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write("data: 1\n\n");
      resolve(response);
    });
    sent.end();
    const answer = await answerOf(sent);
    assert.equal(String((await once(answer, "data"))[0]), "data: 1\n\n");
    const next = once(answer, "data");
    (await promise).write("data: 2\n\n");
    assert.equal(String((await next)[0]), "data: 2\n\n");
    (await promise).end();
    await once(answer, "end");
  });

  test("what a client sends reaches the app before the client has sent all", async () => {
    const got = Promise.withResolvers<string>();
    const sent = ask(
      "upload",
      async (request, response) => {
        const first = once(request, "data");
        got.resolve(String((await first)[0]));
        response.end(await text(request));
      },
      "POST",
    );
    sent.write("first");
    assert.equal(await got.promise, "first");
    sent.end("rest");
    assert.equal(await text(await answerOf(sent)), "rest");
  });

  test("both bodies stream at once, byte for byte", async () => {
    const sent = ask("echo", (request, response) => void request.pipe(response), "POST");
    const whole = Buffer.from(Uint8Array.from({ length: 5_000_000 }, (_, i) => i % 251));
    sent.end(whole);
    assert.ok((await buffer(await answerOf(sent))).equals(whole));
  });

  test("an answer comes before the body was sent, and the app may leave the body", async () => {
    const sent = ask(
      "early",
      (_, response) => response.writeHead(413, { connection: "close" }).end("no"),
      "POST",
    );
    sent.write(CHUNK);
    const answer = await answerOf(sent);
    assert.deepEqual([answer.statusCode, await text(answer)], [413, "no"]);
    sent.destroy();
    assert.equal(await hello(), "GET 0");
  });

  for (const when of ["within", "before"] as const)
    test(`a client that goes away ${when} an endless answer ends the app's connection`, async () => {
      const asked = Promise.withResolvers<ServerResponse>();
      const sent = ask(`gone ${when}`, (_, response) => asked.resolve(response));
      sent.end();
      const response = await asked.promise;
      const gone = once(response, "close");
      if (when === "within") {
        response.write("begin");
        await once(await answerOf(sent), "data");
      }
      sent.destroy();
      // workerd notices that a client is gone when it writes to it.
      await until("the app is told", () => {
        response.write("more");
        return response.closed;
      });
      await gone;
      assert.equal(response.writableFinished, false);
    });

  test("a client that goes away within an upload: the app is told that the body is not whole", async () => {
    const [begun, told] = [Promise.withResolvers<void>(), Promise.withResolvers<string>()];
    const sent = ask(
      "half",
      (request) => {
        request.once("data", () => begun.resolve());
        request.on("end", () => told.resolve("whole"));
        request.on("error", () => told.resolve("broken"));
      },
      "POST",
    );
    sent.write("half");
    await begun.promise;
    sent.destroy();
    assert.equal(await told.promise, "broken");
  });

  test("an app that dies within its answer ends the client's in an error", async () => {
    const sent = ask("dies", (request, response) => {
      response.write("begin", () => request.socket.destroy());
    });
    sent.end();
    const answer = await answerOf(sent);
    await assert.rejects(text(answer));
  });

  test("a slow client holds the app back, costs the agent little, and holds nobody else up", async () => {
    let written = 0;
    const before = memory();
    const sent = ask("slow client", (_, response) => {
      const more = () => {
        while (written < MUCH) {
          written += CHUNK.length;
          if (!response.write(CHUNK)) return void response.once("drain", more);
        }
        response.end();
      };
      more();
    });
    sent.end();
    const answer = await answerOf(sent);
    answer.pause();
    await standstill(() => written);
    assert.ok(written < UNDER_WAY, `${written} bytes were taken from the app`);
    const taken = memory() - before;
    assert.ok(taken < MEMORY, `${taken} bytes of memory`);
    assert.equal(await hello(), "GET 0");
    let read = 0;
    for await (const chunk of answer) read += chunk.length;
    assert.equal(read, written);
    assert.ok(read >= MUCH);
  });

  test("a slow app holds the client back, and gets all of it in the end", async () => {
    const taken = Promise.withResolvers<IncomingMessage>();
    const sent = ask(
      "slow app",
      async (request, response) => {
        taken.resolve(request);
        request.pause();
        await once(request, "resume");
        response.end(String((await buffer(request)).length));
      },
      "POST",
    );
    let offered = 0;
    const more = () => {
      while (offered < MUCH) {
        offered += CHUNK.length;
        if (!sent.write(CHUNK)) return void sent.once("drain", more);
      }
      sent.end();
    };
    more();
    const request = await taken.promise;
    await standstill(() => offered);
    assert.ok(offered < UNDER_WAY, `${offered} bytes were taken from the client`);
    assert.equal(await hello(), "GET 0");
    request.emit("resume");
    assert.equal(await text(await answerOf(sent)), String(offered));
  });

  test("a hundred slow downloads at once leave the edge with room for the next request", async () => {
    const begun = Array.from({ length: 100 }, (_, i) => {
      const sent = ask(`many ${i}`, (_, response) => void response.write(CHUNK));
      sent.end();
      return sent;
    });
    for (const answer of await Promise.all(begun.map(answerOf))) answer.pause();
    assert.equal(await hello(), "GET 0");
    for (const sent of begun) sent.destroy();
  });

  test("when the agent's connection is cut, requests under way end in 502, and the next are answered", async () => {
    const asked = Promise.withResolvers<void>();
    const waiting = ask("cut", () => asked.resolve());
    waiting.end();
    const reading = ask("cut while reading", (_, response) => void response.write("begin"));
    reading.end();
    const half = await answerOf(reading);
    await once(half, "data");
    await asked.promise;
    const broken = assert.rejects(text(half));
    world.cut();
    assert.equal((await answerOf(waiting)).statusCode, 502);
    await broken;
    await until("the agent is back", async () => (await world.apps.ask(HOST)).status === 200);
  });

  socketTests(() => world, HOST);
});

/** Bytes that this process holds on and off the heap. */
function memory(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** Settles when a count has stopped to grow. */
async function standstill(count: () => number): Promise<void> {
  let before = -1;
  let same = 0;
  await until("nothing moves any more", () => {
    same = count() === before ? same + 1 : 0;
    before = count();
    return before > 0 && same >= 20;
  });
}
