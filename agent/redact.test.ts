import assert from "node:assert/strict";
import { test } from "node:test";
import { MARK, Redactor, secretsOf } from "./redact.ts";

const SECRET = 'p@ss/w+rd<"\\>&x 42';

function redactor(...secrets: string[]): Redactor {
  const made = new Redactor();
  made.add(secrets);
  return made;
}

test("a secret is taken out in every form that programs print", () => {
  const shown = {
    plain: SECRET,
    json: JSON.stringify({ SECRET }),
    goJson: JSON.stringify(SECRET)
      .replaceAll("<", "\\u003c")
      .replaceAll(">", "\\u003e")
      .replaceAll("&", "\\u0026"),
    goQuoted: '"p@ss/w+rd<\\"\\\\>&x 42"',
    url: `https://host/?t=${encodeURIComponent(SECRET)}&x`,
    urlLower: encodeURIComponent(SECRET).replace(/%../g, (c) => c.toLowerCase()),
    form: new URLSearchParams({ t: SECRET }).toString(),
  };
  for (const [form, text] of Object.entries(shown)) {
    const out = redactor(SECRET).text(text);
    assert.match(out, /\*\*\*/, form);
    assert.ok(!out.includes("w+rd") && !out.includes("w%2Brd") && !out.includes("w%2brd"), form);
  }
});

test("an operator's address is shown by its public name, the longest first, and is no place to cut", () => {
  const made = redactor();
  made.rename(
    new Map([
      ["http://127.0.0.1:39", "https://one.example"],
      ["http://127.0.0.1:3977", "https://two.example"],
    ]),
  );
  assert.equal(
    made.text("'http://127.0.0.1:3977/a/' http://127.0.0.1:39/b"),
    "'https://two.example/a/' https://one.example/b",
  );
  assert.deepEqual(made.find("at http://127.0.0.1:39/b"), [{ from: 3, to: 22 }]);
  assert.equal(made.longest, "http://127.0.0.1:3977".length);
});

test("base64 of a secret inside a longer text is taken out at every alignment", () => {
  for (const prefix of ["", "u", "us", "user:"])
    for (const encoding of ["base64", "base64url"] as const) {
      const encoded = Buffer.from(`${prefix}ghp_0123456789abcdef~~~???:x`).toString(encoding);
      const out = redactor("ghp_0123456789abcdef~~~???").text(`Basic ${encoded}`);
      assert.match(out, /\*\*\*/);
      const left = Buffer.from(out.replace(/^Basic /, "").replaceAll("*", ""), encoding).toString();
      assert.ok(!left.includes("0123"), `${prefix} ${encoding}: ${out}`);
    }
});

test("secrets that overlap leave nothing of either", () => {
  assert.equal(redactor("abcdefgh", "efghijkl").text("x abcdefghijkl y"), "x *** y");
});

test("a credential gives away neither its token nor its password", () => {
  const basic = `Basic ${Buffer.from("alice:s3cret-pw").toString("base64")}`;
  const out = redactor(...secretsOf(basic), ...secretsOf("Bearer ghp_token_1")).text(
    `${basic} s3cret-pw ghp_token_1`,
  );
  assert.equal(out, "*** *** ***");
});

test("each line of a secret counts, words that are too short do not", () => {
  assert.equal(redactor("line-one\nline-two\nab").text("line-two ab"), "*** ab");
});

test("of a credential in JSON everything is secret but who it is", () => {
  const registry = { username: "pusher-name", password: 'hunter"2-and\\more' };
  const git = `Basic ${Buffer.from("x:ghp_0123456789").toString("base64")}`;
  const secrets = secretsOf(JSON.stringify({ registry, git }));
  const redactor = new Redactor();
  redactor.add(secrets);
  for (const text of [registry.password, JSON.stringify(registry), git, "ghp_0123456789"])
    assert.ok(redactor.text(`a ${text} b`).includes(MARK), text);
  assert.equal(redactor.text("login pusher-name"), "login pusher-name");
  assert.deepEqual(secretsOf('{"registry":null,"git":null}').slice(1), []);
});

test("of an app's credential only what opens its socket is secret, not what its owner set", () => {
  const credential = { env: { MODE: "production" }, serve: "s".repeat(64) };
  const words = secretsOf(JSON.stringify(credential));
  const said = redactor(...words).text(`production ${credential.serve}`);
  assert.equal(said, `production ${MARK}`);
});

test("every line of a build secret is one, and its id is none", () => {
  const secrets = [{ id: "username", value: "first-line\nsecond-line" }];
  const words = secretsOf(JSON.stringify({ registry: null, git: null, secrets }));
  const said = redactor(...words).text("#4 RUN username first-line, second-line");
  assert.equal(said, `#4 RUN username ${MARK}, ${MARK}`);
});
