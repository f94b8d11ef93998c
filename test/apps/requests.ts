/** The requests of the comparison: methods, targets, headers, bodies. */
import { ask, type Case, CHUNKED, chunked, GZIP, type Header, HOST, TEN_MB } from "./compose.ts";

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
  ...TARGETS,
  ...TARGET_FORMS,
  ...HEADERS,
  ...HOSTS,
  ...BODIES,
];
