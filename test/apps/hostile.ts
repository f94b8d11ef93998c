/** Requests that two servers might read in two ways, and answers that are none. */
import { HOST } from "./compose.ts";

type Raw = readonly [name: string, bytes: string];

const INSIDE = `GET /inside HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`;
const NEXT = `GET /next HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n\r\n`;

/** A request with these lines, a body, and another request behind it on the same connection. */
function post(name: string, lines: string, body: string, start = "POST / HTTP/1.1"): Raw {
  return [name, `${start}\r\nHost: ${HOST}\r\n${lines}\r\n\r\n${body}${NEXT}`];
}

const chunks = `0\r\n\r\n`;

/** Whatever the edge makes of one, the app sees no request that the client got no answer for. */
export const SMUGGLED: readonly Raw[] = [
  post(
    "CL.TE",
    `Content-Length: ${chunks.length + INSIDE.length}\r\nTransfer-Encoding: chunked`,
    chunks + INSIDE,
  ),
  post(
    "TE.CL",
    "Content-Length: 4\r\nTransfer-Encoding: chunked",
    `${INSIDE.length.toString(16)}\r\n${INSIDE}\r\n0\r\n\r\n`,
  ),
  post(
    "TE.CL, length first",
    "Transfer-Encoding: chunked\r\nContent-Length: 4",
    `${INSIDE.length.toString(16)}\r\n${INSIDE}\r\n0\r\n\r\n`,
  ),
  post("two lengths that differ", `Content-Length: 0\r\nContent-Length: ${INSIDE.length}`, INSIDE),
  post("two lengths in one header", `Content-Length: 0, ${INSIDE.length}`, INSIDE),
  post("two lengths that agree", "Content-Length: 3\r\nContent-Length: 3", "abc"),
  post("a length with a sign", `Content-Length: +${INSIDE.length}`, INSIDE),
  post("a negative length", "Content-Length: -1", INSIDE),
  post("a length in hexadecimal", "Content-Length: 0x10", INSIDE),
  post("a length with a blank inside", "Content-Length: 1 0", INSIDE),
  post("a length beyond all numbers", "Content-Length: 18446744073709551617", INSIDE),
  post(
    "a blank before the colon",
    "Transfer-Encoding : chunked\r\nContent-Length: 5",
    chunks + INSIDE,
  ),
  post("a tab before chunked", "Transfer-Encoding:\tchunked", chunks + INSIDE),
  post("chunked in capitals", "TRANSFER-ENCODING: CHUNKED", chunks + INSIDE),
  post("chunked that is none", "Transfer-Encoding: xchunked", chunks + INSIDE),
  post(
    "chunked twice",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    chunks + INSIDE,
  ),
  post("chunked and identity", "Transfer-Encoding: chunked, identity", chunks + INSIDE),
  post(
    "identity and a length",
    `Transfer-Encoding: identity\r\nContent-Length: ${INSIDE.length}`,
    INSIDE,
  ),
  post("gzip and chunked", "Transfer-Encoding: gzip, chunked", chunks + INSIDE),
  post("chunked in quotes", 'Transfer-Encoding: "chunked"', chunks + INSIDE),
  post(
    "a folded header",
    "X-A: b\r\n Transfer-Encoding: chunked\r\nContent-Length: 5",
    chunks + INSIDE,
  ),
  post("a folded Transfer-Encoding", "Transfer-Encoding:\r\n chunked", chunks + INSIDE),
  post(
    "a bare line feed in the head",
    `X-A: b\nTransfer-Encoding: chunked\r\nContent-Length: ${INSIDE.length}`,
    INSIDE,
  ),
  post(
    "a bare carriage return in the head",
    `X-A: b\rTransfer-Encoding: chunked\r\nContent-Length: 5`,
    chunks + INSIDE,
  ),
  post("a zero byte in a header", "X-A: b\0c\r\nContent-Length: 0", INSIDE),
  post("a control character in a name", "X\x01A: b\r\nContent-Length: 0", INSIDE),
  post("a header without a name", ": b\r\nContent-Length: 0", INSIDE),
  post("a header without a colon", "nothing\r\nContent-Length: 0", INSIDE),
  post("a chunk's size with a sign", "Transfer-Encoding: chunked", `+5\r\nabcde\r\n${chunks}`),
  post("a chunk's size in 0x", "Transfer-Encoding: chunked", `0x5\r\nabcde\r\n${chunks}`),
  post(
    "a chunk's size beyond all numbers",
    "Transfer-Encoding: chunked",
    `10000000000000005\r\nabcde\r\n${chunks}`,
  ),
  post(
    "a chunk that ends in a line feed",
    "Transfer-Encoding: chunked",
    `5\nabcde\n0\n\n${INSIDE}`,
  ),
  post(
    "a chunk that is longer than it says",
    "Transfer-Encoding: chunked",
    `3\r\nabcde\r\n${chunks}`,
  ),
  post(
    "a chunk's extension with a line feed",
    "Transfer-Encoding: chunked",
    `5;a\nb\r\nabcde\r\n${chunks}`,
  ),
  post(
    "an Upgrade with a body",
    `Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: ${INSIDE.length}`,
    INSIDE,
  ),
  post(
    "a WebSocket's handshake with a body",
    `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nContent-Length: ${INSIDE.length}`,
    INSIDE,
  ),
  post("a body of a GET", `Content-Length: ${INSIDE.length}`, INSIDE, "GET / HTTP/1.1"),
  post(
    "a chunked body of a HEAD",
    "Transfer-Encoding: chunked",
    `${INSIDE.length.toString(16)}\r\n${INSIDE}\r\n0\r\n\r\n`,
    "HEAD / HTTP/1.1",
  ),
  post(
    "chunked in HTTP/1.0",
    "Transfer-Encoding: chunked\r\nConnection: keep-alive",
    chunks + INSIDE,
    "POST / HTTP/1.0",
  ),
  post("HTTP/2's preface", "Content-Length: 0", INSIDE, "PRI * HTTP/2.0"),
  post("another version", "Content-Length: 0", INSIDE, "POST / HTTP/3.7"),
  post("two blanks in the first line", "Content-Length: 0", INSIDE, "POST  / HTTP/1.1"),
  post("a line feed in the target", "Content-Length: 0", INSIDE, "POST /a\nb HTTP/1.1"),
  post("an unknown method", "Content-Length: 0", INSIDE, "STEAL / HTTP/1.1"),
  post("a method in small letters", "Content-Length: 0", INSIDE, "post / HTTP/1.1"),
  post("CONNECT", "Content-Length: 0", INSIDE, "CONNECT other.test:80 HTTP/1.1"),
  post("a second Host", "Host: other.test\r\nContent-Length: 0", INSIDE),
  post(
    "raw UTF-8 in the target",
    "Content-Length: 0",
    INSIDE,
    "POST /\xe2\x82\xac?\xe2\x82\xac HTTP/1.1",
  ),
  post("a header name of 2,000 letters", `X-${"a".repeat(2_000)}: b\r\nContent-Length: 0`, ""),
  post(
    "3,000 headers",
    `${Array.from({ length: 3_000 }, (_, i) => `x${i}: 1`).join("\r\n")}\r\nContent-Length: 0`,
    "",
  ),
  post("100 KiB of quotes", `X-A: ${'"'.repeat(100 * 1024)}\r\nContent-Length: 0`, ""),
  ["no Host", "GET / HTTP/1.1\r\nConnection: close\r\n\r\n"],
  ["nothing at all", "\r\n\r\n\r\n"],
  ["HTTP/0.9", "GET /\r\n"],
  ["TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"],
];

/** What an app may send that is no answer. `cut`: one that begins well, so that the client has its head already. */
export const BROKEN: readonly (readonly [name: string, bytes: string, is: "refused" | "cut"])[] = [
  ["closes without a word", "", "refused"],
  ["speaks something else", "SSH-2.0-OpenSSH_9.6\r\n", "refused"],
  ["ends within its head", "HTTP/1.1 200 OK\r\nX-A: b", "refused"],
  [
    "says two lengths",
    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "refused",
  ],
  [
    "says a length and chunks",
    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "refused",
  ],
  ["says no number for a length", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nab", "refused"],
  [
    "has a zero byte in a header",
    "HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 0\r\n\r\n",
    "refused",
  ],
  ["has a status of two digits", "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n", "refused"],
  ["has a status of 600", "HTTP/1.1 600 X\r\nContent-Length: 0\r\n\r\n", "refused"],
  ["has a status of 999", "HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n", "refused"],
  [
    "switches protocols unasked",
    "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    "refused",
  ],
  [
    "has a head of 200 KiB",
    `HTTP/1.1 200 OK\r\nX-A: ${"a".repeat(200 * 1024)}\r\nContent-Length: 0\r\n\r\n`,
    "refused",
  ],
  [
    "has a header name of 2,000 letters",
    `HTTP/1.1 200 OK\r\nX-${"a".repeat(2_000)}: b\r\nContent-Length: 0\r\n\r\n`,
    "refused",
  ],
  ["promises a body and sends none", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", "cut"],
  ["sends less than its length", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", "cut"],
  [
    "ends within a chunk",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nshort",
    "cut",
  ],
  [
    "ends before the last chunk",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
    "cut",
  ],
  [
    "has a chunk of no size",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\nxyz\r\n",
    "cut",
  ],
];
