/** The requests of the comparison, with the answers that the app gives: data, and how it becomes bytes. */
import { randomBytes } from "node:crypto";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { CASE } from "./app.ts";

/** The app's host name at the edge. */
export const HOST = "app.test";

export type Case = {
  /** Printable ASCII: it goes along as a header. */
  name: string;
  method: string;
  request: Buffer;
  /** What the app answers, and then closes the connection; null for its 200. */
  answer: Buffer | null;
};

type Header = readonly [name: string, value: string];
type Asked = {
  method?: string;
  target?: string;
  headers?: readonly Header[];
  body?: string | Buffer;
  /** In place of the Content-Length that goes with `body`. */
  framing?: readonly Header[];
  host?: string;
  answer?: string | Buffer | null;
};

/** One request, written as a client would. */
function ask(
  name: string,
  { method = "GET", target = "/", headers = [], body, framing, host = HOST, answer }: Asked = {},
): Case {
  const length: Header[] =
    body === undefined ? [] : [["Content-Length", String(Buffer.byteLength(body))]];
  const lines: Header[] = [
    ["Host", host],
    [CASE, name],
    ...headers,
    ...(framing ?? length),
    ...(headers.some(([name]) => name === "Connection") ? [] : [["Connection", "close"] as const]),
  ];
  const head = `${method} ${target} HTTP/1.1\r\n${lines.map(([n, v]) => `${n}: ${v}\r\n`).join("")}\r\n`;
  const request = Buffer.concat([latin1(head), Buffer.from(body ?? "")]);
  return { name, method, request, answer: answer == null ? null : bytes(answer) };
}

/** An answer with a Content-Length, unless the headers say how it is framed. */
function say(status: number, headers: readonly Header[] = [], body: string | Buffer = ""): Buffer {
  const framed = headers.some(([name]) => /^(?:content-length|transfer-encoding)$/i.test(name));
  const all = framed ? headers : [...headers, ["Content-Length", String(Buffer.byteLength(body))]];
  const head = `HTTP/1.1 ${status} Some reason\r\n${all.map(([n, v]) => `${n}: ${v}\r\n`).join("")}\r\n`;
  return Buffer.concat([latin1(head), Buffer.from(body)]);
}

function bytes(text: string | Buffer): Buffer {
  return typeof text === "string" ? latin1(text) : text;
}

function latin1(text: string): Buffer {
  return Buffer.from(text, "latin1");
}

function chunked(...parts: string[]): string {
  return `${parts.map((part) => `${Buffer.byteLength(part).toString(16)}\r\n${part}\r\n`).join("")}0\r\n\r\n`;
}

const CHUNKED: Header = ["Transfer-Encoding", "chunked"];
const TEN_MB = randomBytes(10_000_000);
const GZIP = gzipSync("the same text again and again ".repeat(50));
const BROTLI = brotliCompressSync("the same text again and again ".repeat(50));
const text: Header = ["Content-Type", "text/plain"];

const METHODS: Case[] = [
  ...["GET", "HEAD", "OPTIONS", "DELETE", "POST", "PUT", "PATCH"].map((method) =>
    ask(`${method} without a body`, { method }),
  ),
  ...["POST", "PUT", "PATCH", "DELETE", "OPTIONS"].map((method) =>
    ask(`${method} with a body`, { method, body: "body" }),
  ),
  ...["PROPFIND", "PROPPATCH", "MKCOL", "MOVE", "COPY", "LOCK", "UNLOCK", "REPORT", "SEARCH"].map(
    (method) => ask(`WebDAV's ${method}`, { method }),
  ),
  ...["PROPFIND", "REPORT"].map((method) => ask(`${method} with a body`, { method, body: "<x/>" })),
  ask("GET with a body", { body: "a body of a GET" }),
  ask("HEAD with a body", { method: "HEAD", body: "a body of a HEAD" }),
  ask("TRACE", { method: "TRACE" }),
];

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

const TARGETS: Case[] = [
  ..."/a /a/ /a// //a /a//b / /. /.. /a/./b /a/../b /../../a /a/%2e%2e/b /%2e%2e%2fa /a%2fb /a%2Fb".split(
    " ",
  ),
  ..."/a;b=c /a,b /a:b /a@b /a~b /a!b$c&d'e(f)*+= /%00 /%zz /% /%e2%82%ac /%E2%82%AC /a%20b /a+b".split(
    " ",
  ),
  ...'/a|b /a"b /a<b> /a\\b /a\\..\\b /a^b /a`b /a{b} /[a] /a%5cb /a%23b /a%3fb /http://other.test/x'.split(
    " ",
  ),
  ..."/? /a? /?a /?a=b&a=c /?a=%20+b /?a=b=c /?&& /?a;b /?x=/../y /?%zz /?a='b' /?a=\"b\" /?[a]={b} /?a?b".split(
    " ",
  ),
  "/?a=|^`",
  `/${"long/".repeat(2_000)}`,
  `/?${"q".repeat(30_000)}`,
].map((target) => ask(`GET ${encodeURI(target.slice(0, 60))} ${target.length}`, { target }));

const TARGET_FORMS: Case[] = [
  ask("a target in absolute form", { target: `http://${HOST}/absolute?a=b` }),
  ask("OPTIONS of *", { method: "OPTIONS", target: "*" }),
];

const HEADERS: Case[] = (
  [
    ["cookies", [["Cookie", "a=b; c=d; e"]]],
    [
      "cookies in two headers",
      [
        ["Cookie", "a=b"],
        ["Cookie", "c=d"],
      ],
    ],
    [
      "repeated headers",
      [
        ["X-A", "1"],
        ["x-a", "2"],
        ["X-B", "3"],
        ["X-A", "4"],
      ],
    ],
    ["values of latin-1", [["X-Latin", "caf\xe9 \xfc\xff"]]],
    ["values of UTF-8", [["X-Utf", "\xe2\x82\xac"]]],
    ["an empty value", [["X-Empty", ""]]],
    ["blanks around a value", [["X-Blank", "  in  the middle  "]]],
    ["odd names", [["X!#$%&'*+-.^_`|~9", "odd"]]],
    ["60 KiB of a header", [["X-Long", "v".repeat(60 * 1024)]]],
    ["400 headers", Array.from({ length: 400 }, (_, i): Header => [`X-${i}`, String(i)])],
    [
      "what one connection is about",
      [
        ["Connection", "X-Hop, close"],
        ["X-Hop", "1"],
        ["Keep-Alive", "5"],
        ["Proxy-Connection", "x"],
        ["X-End", "2"],
      ],
    ],
    [
      "Connection naming what it may not",
      [
        ["Connection", "close, Cookie, X-Real-IP"],
        ["Cookie", "a=b"],
      ],
    ],
    [
      "TE and Trailer",
      [
        ["TE", "trailers"],
        ["Trailer", "X-Sum"],
      ],
    ],
    [
      "Upgrade to something else",
      [
        ["Connection", "close, Upgrade"],
        ["Upgrade", "h2c"],
      ],
    ],
    ["Proxy-Authorization", [["Proxy-Authorization", "Basic YTpi"]]],
    ["Authorization", [["Authorization", "Basic YTpi"]]],
    [
      "X-Forwarded- of its own",
      [
        ["X-Forwarded-For", "6.6.6.6"],
        ["X-Forwarded-Host", "evil.test"],
        ["X-Forwarded-Proto", "https"],
        ["X-Forwarded-Prefix", "/evil"],
        ["X-Forwarded-Port", "1"],
        ["X-Real-IP", "6.6.6.6"],
        ["Forwarded", "for=6.6.6.6"],
      ],
    ],
    [
      "headers that only the edge may say",
      [
        ["Railhead-Arrival", "x"],
        ["Railhead-No-Answer", "gone"],
        ["CF-Worker", "x"],
      ],
    ],
    [
      "what is accepted",
      [
        ["Accept", "text/html, */*;q=0.1"],
        ["Accept-Language", "de"],
        ["Accept-Encoding", "br;q=0"],
      ],
    ],
    ["no encoding", [["Accept-Encoding", "identity"]]],
    ["If-None-Match", [["If-None-Match", 'W/"a", "b"']]],
    ["If-Modified-Since", [["If-Modified-Since", "Thu, 01 Jan 2026 00:00:00 GMT"]]],
    [
      "If-Match and If-Range",
      [
        ["If-Match", "*"],
        ["If-Range", '"a"'],
        ["Range", "bytes=0-1,3-"],
      ],
    ],
    [
      "Origin and Referer",
      [
        ["Origin", "null"],
        ["Referer", "http://x/?a#b"],
        ["Sec-Fetch-Mode", "cors"],
      ],
    ],
    [
      "User-Agent, Via, Priority, Cache-Control",
      [
        ["User-Agent", "mine/1"],
        ["Via", "1.0 x"],
        ["Priority", "u=1"],
        ["Cache-Control", "no-cache"],
        ["Pragma", "no-cache"],
      ],
    ],
    [
      "Max-Forwards and From",
      [
        ["Max-Forwards", "3"],
        ["From", "a@b"],
      ],
    ],
    ["a content type without a body", [["Content-Type", "text/plain"]]],
    ["X-HTTP-Method-Override", [["X-HTTP-Method-Override", "DELETE"]]],
  ] as [string, Header[]][]
).map(([name, headers]) => ask(`a request with ${name}`, { headers }));

const HOSTS: Case[] = [
  ask("Host with a port", { host: `${HOST}:8080` }),
  ask("Host in capitals", { host: HOST.toUpperCase() }),
];

const BODIES: Case[] = [
  ask("a chunked body", { method: "POST", body: chunked("one", "two"), framing: [CHUNKED] }),
  ask("an empty chunked body", { method: "POST", body: chunked(), framing: [CHUNKED] }),
  ask("a chunked body with a trailer", {
    method: "POST",
    body: "3\r\none\r\n0\r\nX-Sum: 1\r\n\r\n",
    framing: [CHUNKED, ["Trailer", "X-Sum"]],
  }),
  ask("an empty body with a length", { method: "POST", body: "" }),
  ask("10 MB of body with a length", { method: "PUT", body: TEN_MB }),
  ask("10 MB of chunked body", {
    method: "PUT",
    body: Buffer.concat([
      Buffer.from(`${TEN_MB.length.toString(16)}\r\n`),
      TEN_MB,
      Buffer.from("\r\n0\r\n\r\n"),
    ]),
    framing: [CHUNKED],
  }),
  ask("a body of gzip", { method: "POST", headers: [["Content-Encoding", "gzip"]], body: GZIP }),
  ask("a form", {
    method: "POST",
    headers: [["Content-Type", "application/x-www-form-urlencoded"]],
    body: "a=b&c=%20+",
  }),
  ask("Expect: 100-continue", {
    method: "POST",
    headers: [["Expect", "100-continue"]],
    body: "go on",
  }),
  ask("DELETE with a chunked body", { method: "DELETE", body: chunked("x"), framing: [CHUNKED] }),
];

export const REQUESTS: readonly Case[] = [
  ...METHODS,
  ...STATUSES,
  ...BODYLESS,
  ...ANSWERS,
  ...ANSWER_HEADERS,
  ...TARGETS,
  ...TARGET_FORMS,
  ...HEADERS,
  ...HOSTS,
  ...BODIES,
];
