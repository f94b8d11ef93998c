import assert from "node:assert/strict";
import { test } from "node:test";
import {
  comparePriority,
  createMatcher,
  namedHosts,
  parseRule,
  RULE_CHARS,
  RuleError,
} from "./index.ts";
import { traefikLabels } from "./labels.ts";

type Asked = { method?: string; headers?: Record<string, string> };

/** The path that the app sees; null when the rule does not match. */
function ask(
  rule: string,
  url: string,
  { method = "GET", headers = {} }: Asked = {},
): string | null {
  const { host, pathname, searchParams } = new URL(url);
  const matched = createMatcher(parseRule(rule))({
    method,
    host,
    path: pathname,
    query: (name) => searchParams.getAll(name),
    header: (name) => headers[name] ?? null,
  });
  return matched?.path ?? null;
}

const A = "http://a.example";

/** Rule, what it matches, what it does not. */
const CASES: [rule: string, yes: string[], no: string[]][] = [
  [
    "Host:a.example",
    [`${A}/`, `${A}:8080/x`, "http://A.EXAMPLE/"],
    ["http://b.example/", "http://x.a.example/"],
  ],
  ["Host: a.example, b.example", [`${A}/`, "http://b.example/"], ["http://c.example/"]],
  [
    "Host:a.example;PathPrefix:/x",
    [`${A}/x`, `${A}/x/y`, `${A}/xy`],
    [`${A}/`, "http://b.example/x"],
  ],
  ["Host:a.example;Path:/x,/y", [`${A}/x`, `${A}/y`], [`${A}/x/`, `${A}/z`]],
  [
    "HostRegexp:{sub:[a-z]+}.a.example",
    ["http://foo.a.example/"],
    ["http://a.example/", "http://f1.a.example/"],
  ],
  [
    "HostRegexp:a.example,{sub}.a.example",
    [`${A}/`, "http://f1.a.example/"],
    ["http://x.y.a.example/"],
  ],
  [
    "Path:/p/{id:[0-9]{1,3}}",
    [`${A}/p/1`, `${A}/p/123`],
    [`${A}/p/1234`, `${A}/p/a`, `${A}/p/1/x`],
  ],
  ["Host(`a.example`)", [`${A}/`], ["http://b.example/"]],
  ["Host(`a.example`, `b.example`)", [`${A}/`, "http://b.example/"], ["http://c.example/"]],
  ['Host("a.example") && Path("/x")', [`${A}/x`], [`${A}/y`]],
  ["Host(`a.example`) && (PathPrefix(`/x`) || PathPrefix(`/y`))", [`${A}/x`, `${A}/y`], [`${A}/z`]],
  [
    "Host(`a.example`) && PathPrefix(`/x`) || Host(`b.example`)",
    [`${A}/x`, "http://b.example/z"],
    [`${A}/z`],
  ],
  ["Host(`a.example`) && !PathPrefix(`/admin`)", [`${A}/x`], [`${A}/admin/x`]],
  [
    "!(Host(`a.example`) || Host(`b.example`))",
    ["http://c.example/"],
    [`${A}/`, "http://b.example/"],
  ],
  ["HostRegexp(`^.+\\.a\\.example$`)", ["http://x.y.a.example/"], [`${A}/`]],
  ["HostRegexp(`{sub:[a-z]+}.a.example`)", ["http://x.a.example/"], [`${A}/`]],
  ["Host(`*.a.example`)", ["http://x.a.example/"], [`${A}/`, "http://x.y.a.example/"]],
  ["PathRegexp(`^/v[0-9]+/`)", [`${A}/v1/x`], [`${A}/vx/`]],
  ["Query(`a=1`)", [`${A}/?a=1`, `${A}/?a=2&a=1`], [`${A}/?a=2`, `${A}/`]],
  ["Query(`a`, `1`)", [`${A}/?a=1`], [`${A}/?a=2`]],
  ["QueryRegexp(`a`, `^[0-9]+$`)", [`${A}/?a=12`], [`${A}/?a=x`]],
];

for (const [rule, yes, no] of CASES)
  test(`${rule} matches what Traefik matches`, () => {
    for (const url of yes) assert.notEqual(ask(rule, url), null, url);
    for (const url of no) assert.equal(ask(rule, url), null, url);
  });

test("methods and headers decide in both syntaxes", () => {
  for (const rule of [
    "Host:a.example;Method:POST,PUT",
    "Host(`a.example`) && Method(`POST`, `PUT`)",
  ]) {
    assert.equal(ask(rule, `${A}/`), null);
    assert.equal(ask(rule, `${A}/`, { method: "PUT" }), "/");
  }
  for (const rule of [
    "Headers:X-Kind,blue",
    "Headers(`X-Kind`, `blue`)",
    "Header(`x-kind`, `blue`)",
  ]) {
    assert.equal(ask(rule, `${A}/`, { headers: { "x-kind": "red" } }), null);
    assert.equal(ask(rule, `${A}/`, { headers: { "x-kind": "blue" } }), "/");
  }
  const pattern = { headers: { "content-type": "application/json" } };
  assert.equal(ask("HeadersRegexp:Content-Type,application/(text|json)", `${A}/`, pattern), "/");
  assert.equal(ask("HeaderRegexp(`Content-Type`, `^text/`)", `${A}/`, pattern), null);
});

test("a stripped prefix is taken off the path that the app sees", () => {
  const rule = "Host:a.example;PathPrefixStrip:/x,/y";
  assert.equal(ask(rule, `${A}/x`), "/");
  assert.equal(ask(rule, `${A}/y/z?q=1`), "/z");
  assert.equal(ask(rule, `${A}/z`), null);
  assert.equal(ask("PathStrip:/x", `${A}/x`), "/");
  assert.equal(ask("PathPrefixStripRegex:/{version:v[0-9]+}", `${A}/v2/z`), "/z");
  assert.equal(ask("Host:a.example;AddPrefix:/api", `${A}/z`), "/api/z");
  assert.equal(ask("Host:a.example;ReplacePath:/one", `${A}/z`), "/one");
});

test("the longest of several rules that match wins", () => {
  const rules = ["PathPrefix:/12,/3", "PathPrefix:/12;Host:foo.com", "PathPrefixStrip:/123"].map(
    parseRule,
  );
  assert.deepEqual(
    rules.toSorted(comparePriority).map(({ text }) => text),
    ["PathPrefix:/12;Host:foo.com", "PathPrefixStrip:/123", "PathPrefix:/12,/3"],
  );
});

test("a rule that cannot be read is refused with a sentence that names what is wrong", () => {
  const bad: [rule: string, says: RegExp][] = [
    ["", /empty/],
    ["Host:", /Host: has no value/],
    ["Host:a.example,", /empty value/],
    ["Hots:a.example", /"Hots" is no matcher.*Host/],
    ["Host:a b", /"a b" is no host/],
    ["Host:app.1", /"app.1" is no host/],
    ["Host:*.1", /"\*.1" is no host/],
    ["Host:1.2.3.999", /"1.2.3.999" is no host/],
    ["Path:x", /begin with \//],
    ["AddPrefix:/x", /matches nothing/],
    ["ReplacePathRegex:^/a /b", /no matcher/],
    ["Headers:x", /comma/],
    ["HostRegexp:{sub:[a-z}.example", /brace|expression/],
    ["Host(`a.example`", /\) is missing/],
    ["Host(a.example)", /backticks/],
    ["Host('a.example')", /cannot be read/],
    ["Host(`a.example`) PathPrefix(`/x`)", /not expected/],
    ["Host(`a.example`) &&", /missing at the end/],
    ["Foo(`a`)", /"Foo" is no matcher/],
    ["constructor(`a`)", /no matcher/],
    ["Header(`a`)", /takes two/],
    ["PathRegexp(`(`)", /no regular expression/],
    ["PathRegexp(`(?=x)`)", /no regular expression/],
    [`${"!".repeat(40)}Host(\`a\`)`, /nested/],
    [`Host:${"a".repeat(RULE_CHARS)}`, /characters/],
  ];
  for (const [rule, says] of bad)
    assert.throws(
      () => parseRule(rule),
      (error) => error instanceof RuleError && says.test(error.message),
      rule,
    );
});

test("an author's expression cannot stall the edge", () => {
  const path = `/${"a".repeat(50_000)}!`;
  assert.equal(ask("PathRegexp(`^/(a+)+$`)", `${A}${path}`), null);
});

test("the hosts that a rule names outright are known, for rules that name them all", () => {
  const hosts = (rule: string) => {
    const named = namedHosts(parseRule(rule).condition);
    return named && [...named];
  };
  assert.deepEqual(hosts("Host:a.example,b.example;PathPrefix:/x"), ["a.example", "b.example"]);
  assert.deepEqual(hosts("Host(`a.example`) && Path(`/x`) || Host(`b.example`)"), [
    "a.example",
    "b.example",
  ]);
  assert.equal(hosts("Host(`a.example`) || Path(`/x`)"), null);
  assert.equal(hosts("!Host(`a.example`)"), null);
});

test("labels say the rule in the words of Traefik 1 and of Traefik 3", () => {
  const labels = traefikLabels(
    "shop",
    parseRule("Host:a.example,b.example;PathPrefixStrip:/x"),
    80,
  );
  assert.equal(labels["traefik.frontend.rule"], "Host:a.example,b.example;PathPrefixStrip:/x");
  assert.equal(
    labels["traefik.http.routers.shop.rule"],
    "(Host(`a.example`) || Host(`b.example`)) && PathPrefix(`/x`)",
  );
  assert.equal(labels["traefik.http.routers.shop.middlewares"], "shop-1");
  assert.equal(labels["traefik.http.middlewares.shop-1.stripprefix.prefixes"], "/x");
  const third = traefikLabels(
    "shop",
    parseRule("Host(`a.example`) && (Path(`/x`) || Path(`/y`))"),
    8080,
  );
  assert.equal(third["traefik.frontend.rule"], "Host:a.example;Path:/x,/y");
  assert.equal(third["traefik.http.services.shop.loadbalancer.server.port"], "8080");
  assert.equal(
    traefikLabels("s", parseRule("!Host(`a.example`)"), 80)["traefik.frontend.rule"],
    undefined,
  );
});

test("what was parsed and said again in Traefik 3's words means the same", () => {
  for (const [rule, yes, no] of CASES) {
    const again = traefikLabels("x", parseRule(rule), 80)["traefik.http.routers.x.rule"] ?? "";
    for (const url of yes) assert.notEqual(ask(again, url), null, `${rule} → ${again}: ${url}`);
    for (const url of no) assert.equal(ask(again, url), null, `${rule} → ${again}: ${url}`);
  }
});
