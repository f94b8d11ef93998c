/** HTTP by hand, for requests that no client library would send. */
import { connect } from "node:net";

/** Milliseconds after which a server that says nothing is called hanging. */
const SILENCE_MS = 10_000;

export type RawAnswer = { status: number; head: string; body: string };

/** Sends bytes as they are and reads to the end; null when the server just closes the connection. */
export function rawRequest(url: string, request: string | Buffer): Promise<RawAnswer | null> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname);
    const chunks: Buffer[] = [];
    const finish = () => {
      socket.destroy();
      const text = Buffer.concat(chunks).toString("latin1");
      const end = text.indexOf("\r\n\r\n");
      const status = /^HTTP\/1\.[01] (\d{3})/.exec(text)?.[1];
      if (status === undefined) return resolve(null);
      resolve({ status: Number(status), head: text.slice(0, end), body: text.slice(end + 4) });
    };
    socket.setTimeout(SILENCE_MS, () => {
      socket.destroy();
      reject(new Error("the server neither answers nor closes"));
    });
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.on("end", finish);
    socket.on("error", finish);
    socket.write(request);
  });
}

/** One request with these lines and no body. The connection is asked to end after the answer. */
export function rawHead(method: string, target: string, headers: string[] = []): string {
  return [
    `${method} ${target} HTTP/1.1`,
    "Host: 127.0.0.1",
    "Connection: close",
    ...headers,
    "",
    "",
  ].join("\r\n");
}

/** The body of a raw answer, its chunks joined. */
export function bodyOf({ head, body }: RawAnswer): string {
  if (!/^transfer-encoding: *chunked/im.test(head)) return body;
  let rest = body;
  let text = "";
  for (;;) {
    const end = rest.indexOf("\r\n");
    const size = Number.parseInt(rest.slice(0, end), 16);
    if (end === -1 || !(size > 0)) return text;
    text += rest.slice(end + 2, end + 2 + size);
    rest = rest.slice(end + 4 + size);
  }
}
