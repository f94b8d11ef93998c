/** The answers of the comparison: statuses, framings, encodings, headers. */
import { brotliCompressSync } from "node:zlib";
import { ask, type Case, CHUNKED, chunked, GZIP, type Header, say, TEN_MB } from "./compose.ts";

const BROTLI = brotliCompressSync("the same text again and again ".repeat(50));
const text: Header = ["Content-Type", "text/plain"];

const STATUSES: Case[] = [
  ...[200, 201, 202, 203, 206, 207, 208, 226, 299, 300, 301, 302, 303, 305, 307, 308, 399],
  ...[400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417],
  ...[418, 421, 422, 423, 424, 425, 426, 428, 429, 431, 451, 499, 500, 501, 502, 503, 504, 505],
  ...[506, 507, 508, 510, 511, 599],
].map((status) =>
  ask(`status ${status}`, {
    answer: say(status, [text, ["Location", "/elsewhere?a=b"]], `this is ${status}`),
  }),
);

const BODYLESS: Case[] = [204, 304].flatMap((status) => [
  ask(`${status} without a length`, { answer: `HTTP/1.1 ${status} X\r\nETag: "a"\r\n\r\n` }),
  ask(`${status} with a length`, { answer: say(status, [["Content-Length", "0"]]) }),
  ask(`HEAD answered ${status}`, {
    method: "HEAD",
    answer: `HTTP/1.1 ${status} X\r\nETag: "a"\r\n\r\n`,
  }),
]);

const ANSWERS: Case[] = [
  ask("205 with an empty body", { answer: say(205) }),
  ask("304 with the length of what was not sent", {
    answer: say(304, [
      ["Content-Length", "12"],
      ["ETag", '"a"'],
    ]),
  }),
  ask("HEAD with a length", {
    method: "HEAD",
    answer: say(200, [["Content-Length", "1234"], text]),
  }),
  ask("HEAD without a length", { method: "HEAD", answer: `HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\n` }),
  ask("HEAD of a chunked answer", { method: "HEAD", answer: say(200, [CHUNKED, text]) }),
  ask("HEAD of nothing", { method: "HEAD", answer: say(200, [["Content-Length", "0"]]) }),
  ask("a chunked answer", { answer: say(200, [CHUNKED], chunked("one", "two", "three")) }),
  ask("a chunked answer with extensions", {
    answer: say(200, [CHUNKED], "3;a=b\r\none\r\n0;c\r\n\r\n"),
  }),
  ask("a chunked answer with a trailer", {
    answer: say(200, [CHUNKED, ["Trailer", "X-Sum"]], "3\r\none\r\n0\r\nX-Sum: 1\r\n\r\n"),
  }),
  ask("an empty chunked answer", { answer: say(200, [CHUNKED], "0\r\n\r\n") }),
  ask("a thousand chunks of a byte", {
    answer: say(200, [CHUNKED], chunked(...Array.from({ length: 1_000 }, () => "x"))),
  }),
  ask("an empty answer", { answer: say(200) }),
  ask("an answer that ends with its connection", {
    answer: `HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\nto the end`,
  }),
  ask("an empty answer that ends with its connection", { answer: `HTTP/1.1 200 OK\r\n\r\n` }),
  ask("an answer of HTTP/1.0", { answer: `HTTP/1.0 200 OK\r\nX-A: 1\r\n\r\nold words` }),
  ask("103 before the answer", {
    answer: `HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\n${say(200, [], "late").toString()}`,
  }),
  ask("10 MB with a length", { answer: say(200, [], TEN_MB) }),
  ask("10 MB in one chunk", {
    answer: Buffer.concat([
      say(200, [CHUNKED], `${TEN_MB.length.toString(16)}\r\n`),
      TEN_MB,
      Buffer.from("\r\n0\r\n\r\n"),
    ]),
  }),
  ask("an answer of gzip", { answer: say(200, [["Content-Encoding", "gzip"], text], GZIP) }),
  ask("an answer of gzip for who takes it", {
    headers: [["Accept-Encoding", "gzip"]],
    answer: say(200, [["Content-Encoding", "gzip"], text], GZIP),
  }),
  ask("an answer of brotli for who takes it", {
    headers: [["Accept-Encoding", "br"]],
    answer: say(200, [["Content-Encoding", "br"], text], BROTLI),
  }),
  ask("an answer of bytes for who takes gzip", {
    headers: [["Accept-Encoding", "gzip"]],
    answer: say(200, [["Content-Type", "application/octet-stream"]], "bytes"),
  }),
  ask("an encoding of the app's own", { answer: say(200, [["Content-Encoding", "own"]], "coded") }),
  ask("a part of a file", {
    headers: [["Range", "bytes=2-4"]],
    answer: say(
      206,
      [
        ["Content-Range", "bytes 2-4/10"],
        ["Accept-Ranges", "bytes"],
      ],
      "cde",
    ),
  }),
  ask("a part that is not there", {
    headers: [["Range", "bytes=20-"]],
    answer: say(416, [["Content-Range", "bytes */10"]]),
  }),
  ask("events", {
    answer: say(200, [["Content-Type", "text/event-stream"], CHUNKED], chunked("data: 1\n\n")),
  }),
];

const ANSWER_HEADERS: Case[] = (
  [
    [
      "many cookies",
      [
        ["Set-Cookie", "a=1; Path=/"],
        ["Set-Cookie", "b=2, x"],
        ["set-cookie", "c="],
      ],
    ],
    [
      "repeated headers",
      [
        ["Vary", "Accept"],
        ["Vary", "Cookie"],
        ["Link", "</a>"],
        ["Link", "</b>"],
      ],
    ],
    ["values of latin-1", [["X-Latin", "caf\xe9 \xfc\xff"]]],
    ["values of UTF-8", [["X-Utf", "\xe2\x82\xac"]]],
    ["an empty value", [["X-Empty", ""]]],
    [
      "odd names",
      [
        ["X!#$%&'*+-.^_`|~9", "odd"],
        ["x", "short"],
      ],
    ],
    ["values with commas, quotes and tabs", [["X-A", 'a, "b, c",\td;e=f']]],
    [
      "what one connection is about",
      [
        ["Connection", "X-Hop, close"],
        ["X-Hop", "1"],
        ["Keep-Alive", "timeout=5"],
        ["X-End", "2"],
      ],
    ],
    ["Proxy-Authenticate", [["Proxy-Authenticate", "Basic"]]],
    [
      "a policy",
      [
        ["Content-Security-Policy", "default-src 'self'"],
        ["Strict-Transport-Security", "max-age=1"],
      ],
    ],
    [
      "a cache's words",
      [
        ["Cache-Control", "public, max-age=60"],
        ["Age", "3"],
        ["ETag", 'W/"x"'],
        ["Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT"],
      ],
    ],
    [
      "leave for other origins",
      [
        ["Access-Control-Allow-Origin", "*"],
        ["Access-Control-Expose-Headers", "X-A"],
      ],
    ],
    [
      "Server, Via and Date",
      [
        ["Server", "mine"],
        ["Via", "1.1 before"],
        ["Date", "Thu, 01 Jan 2026 00:00:00 GMT"],
      ],
    ],
    [
      "headers that only the edge may say",
      [
        ["Railhead-No-Answer", "gone"],
        ["Railhead-X", "1"],
      ],
    ],
    ["60 KiB of a header", [["X-Long", "v".repeat(60 * 1024)]]],
    ["400 headers", Array.from({ length: 400 }, (_, i): Header => [`X-${i}`, String(i)])],
    [
      "Upgrade to something else",
      [
        ["Upgrade", "h2c"],
        ["Connection", "upgrade"],
      ],
    ],
    [
      "Alt-Svc and Refresh",
      [
        ["Alt-Svc", "clear"],
        ["Refresh", "5; url=/a"],
      ],
    ],
  ] as [string, Header[]][]
).map(([name, headers]) => ask(`an answer with ${name}`, { answer: say(200, headers, "ok") }));

export const ANSWERED: readonly Case[] = [...STATUSES, ...BODYLESS, ...ANSWERS, ...ANSWER_HEADERS];
