/** What lies between the agents' machines and the edge. */
import { refusalOf } from "../../agent/edge.ts";
import type { Line, LineEvents } from "../../agent/ports.ts";
import { PING } from "../../shared/protocol.ts";
import { Connection } from "./connection.ts";
import type { Front, HttpRequest } from "./edge/front.ts";
import { ServerSocket } from "./edge/socket.ts";
import { type Faults, Lost } from "./faults.ts";
import type { Kernel, Life } from "./kernel.ts";
import type { SeededRandom } from "./random.ts";

const TAKES_MS = { least: 2, most: 40 };
const HANDSHAKE_MS = 10_000;
const LOST_AFTER_MS = { least: 100, most: 10_000 };
/** What a proxy answers in the edge's place. */
const PROXY_STATUSES = [200, 413, 502];

export type NetworkParts = { kernel: Kernel; random: SeededRandom; faults: Faults; front: Front };
export type Answer = { status: number; type: string; body: string };

export class Network {
  /** Called when a sign of life comes from a machine's control socket. */
  heard: (host: string) => void = () => {};
  readonly #parts: NetworkParts;
  readonly #connections = new Map<Connection, string>();
  /** Machines that nothing reaches, and until when (ms). */
  readonly #partitions = new Map<string, number>();

  constructor(parts: NetworkParts) {
    this.#parts = parts;
  }

  /** Opens a WebSocket to the edge. Events come to `from` alone, as long as it lives. */
  dial(from: Life, host: string, url: URL, bearer: string, events: LineEvents): Line {
    const { kernel, random, faults, front } = this.#parts;
    const name = `${from.name} ${url.pathname.split("/").slice(2).join("/")}`;
    const connection = new Connection({
      kernel,
      random,
      faults,
      life: from,
      name,
      events,
      heard: (text) => {
        const sign = text === PING || text.startsWith('{"t":"hello"');
        if (sign && url.pathname.endsWith("/control")) this.heard(host);
      },
      gone: () => this.#connections.delete(connection),
    });
    this.#connections.set(connection, host);
    if (this.#isCutOff(host)) connection.silence();
    from.after(HANDSHAKE_MS, "handshake", () => {
      if (connection.opening) connection.fail({ kind: "failed", message: "no handshake in time" });
    });
    if (faults.strikes("socket: refused by a proxy")) {
      connection.handshake("up", "to a proxy", () =>
        connection.handshake("down", "502", () =>
          connection.fail({ kind: "failed", message: "HTTP 502 instead of a WebSocket" }),
        ),
      );
      return connection;
    }
    connection.handshake("up", "upgrade", () => {
      const server = new ServerSocket(kernel, {
        text: (text) => connection.text(text),
        close: (code, reason) => connection.closeFromEdge(code, reason),
        cut: () => connection.cut(),
      });
      connection.server = server;
      const back = (what: string, arrive: () => void) => connection.handshake("down", what, arrive);
      front.upgrade(url, bearer, server).then(
        (answer) => {
          if (answer === "accepted") return back("101", () => connection.opened());
          const refusal = refusalOf(answer);
          back(`${answer.status}`, () =>
            connection.fail(
              refusal
                ? { kind: "refused", refusal }
                : { kind: "failed", message: `HTTP ${answer.status} instead of a WebSocket` },
            ),
          );
        },
        () => connection.cut(),
      );
    });
    return connection;
  }

  /** Calls the edge. Rejects when the connection breaks; never settles when its bytes vanish. */
  request(from: Life, host: string, url: URL, init: Omit<HttpRequest, "url">): Promise<Answer> {
    const { kernel, random, faults, front } = this.#parts;
    const takes = () => random.between(TAKES_MS.least, TAKES_MS.most);
    return new Promise((resolve, reject) => {
      const lose = (why: string) =>
        from.after(random.between(LOST_AFTER_MS.least, LOST_AFTER_MS.most), why, () =>
          reject(new Lost(why)),
        );
      const back = (answer: Answer) => {
        if (this.#isCutOff(host)) return;
        if (faults.strikes("http: answer lost")) return lose("the answer was lost");
        kernel.tell(() => `${from.name} < ${answer.status} ${answer.body.slice(0, 120)}`);
        from.after(takes(), `answer ${answer.status}`, () => resolve(answer));
      };
      if (this.#isCutOff(host)) return;
      if (faults.strikes("http: question lost")) return lose("the question was lost");
      if (faults.strikes("http: a proxy's page"))
        return back({
          status: random.pick(PROXY_STATUSES),
          type: "text/html",
          body: "<html>Not the edge</html>",
        });
      kernel.after(takes(), `${init.method} ${url.pathname}`, () => {
        front.answer({ url, ...init }).then(back, () => lose("the edge broke off"));
      });
    });
  }

  /** Nothing reaches `host` or comes from it for `ms`: short ones are only waited out. */
  partition(host: string, ms: number): void {
    const until = this.#parts.kernel.now + ms;
    this.#partitions.set(host, Math.max(until, this.#partitions.get(host) ?? 0));
    for (const [connection, from] of this.#connections) if (from === host) connection.stall(ms);
  }

  /** Every socket breaks at once, as when the edge is deployed or a line goes down. */
  cutAll(): void {
    for (const connection of [...this.#connections.keys()]) connection.cut();
  }

  /** From here on nothing is cut off any more. */
  heal(): void {
    this.#partitions.clear();
  }

  #isCutOff(host: string): boolean {
    return (this.#partitions.get(host) ?? 0) > this.#parts.kernel.now;
  }
}
