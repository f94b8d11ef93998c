/**
 * What log text must not show. Secrets are taken out, as they are and in the forms in which programs print them (base64
 * at any alignment, URL-, JSON- and Go-escaped); overlapping findings become one mark. Names take the place of the
 * operator's own addresses.
 */

export const MARK = "***";
/** Characters below which a word is too common to be taken out. */
const MIN_CHARS = 6;

export type Span = { from: number; to: number };

export class Redactor {
  #needles: string[] = [];
  /** What stands for a word: the longest word first. */
  #names: [word: string, name: string][] = [];
  #longest = 0;

  /** Characters of the longest form: a cut in a line must look this far ahead. */
  get longest(): number {
    return this.#longest;
  }

  /** Takes these words out of everything from now on. A secret of several lines counts line by line. */
  add(secrets: readonly string[]): void {
    const all = new Set(this.#needles);
    for (const line of secrets.flatMap((secret) => secret.split(/[\r\n]+/)))
      if (line.length >= MIN_CHARS) for (const form of forms(line)) all.add(form);
    this.#needles = [...all];
    this.#measure();
  }

  /** Puts a name for each of these words in everything from now on. */
  rename(names: ReadonlyMap<string, string>): void {
    const all = new Map([...this.#names, ...names]);
    this.#names = [...all].sort(([a], [b]) => b.length - a.length);
    this.#measure();
  }

  #measure(): void {
    this.#longest = Math.max(0, ...this.#words.map((word) => word.length));
  }

  get #words(): string[] {
    return [...this.#needles, ...this.#names.map(([word]) => word)];
  }

  /** Where `text` must not be cut: ascending, merged where they touch. */
  find(text: string): Span[] {
    return spansOf(this.#words, text);
  }

  text(text: string): string {
    const spans = spansOf(this.#needles, text);
    let out = "";
    let at = 0;
    for (const span of spans) {
      out += text.slice(at, span.from) + MARK;
      at = span.to;
    }
    return this.#names.reduce(
      (shown, [word, name]) => shown.replaceAll(word, () => name),
      out + text.slice(at),
    );
  }
}

/** Where `text` shows one of these: ascending, merged where they touch. */
function spansOf(needles: readonly string[], text: string): Span[] {
  const spans: Span[] = [];
  for (const needle of needles)
    for (let at = text.indexOf(needle); at !== -1; at = text.indexOf(needle, at + 1))
      spans.push({ from: at, to: at + needle.length });
  spans.sort((a, b) => a.from - b.from);
  const merged: Span[] = [];
  for (const span of spans) {
    const last = merged.at(-1);
    if (last && span.from <= last.to) last.to = Math.max(last.to, span.to);
    else merged.push(span);
  }
  return merged;
}

/** Members of a credential that say who, or which, it is. */
const NAMES = new Set(["username", "id"]);

/**
 * The secret words of a credential: an Authorization header value (the whole, its token, a Basic pair and its password),
 * or JSON, of which all is secret but names, and the environment of an app: what a log shows of that is its owner's affair.
 */
export function secretsOf(credential: string): string[] {
  if (!credential.startsWith("{")) return ofAuthorization(credential);
  const secrets: string[] = [];
  const collect = (key: string, value: unknown): void => {
    if (typeof value === "string" && !NAMES.has(key)) secrets.push(value);
    if (typeof value !== "object" || value === null || key === "env") return;
    for (const [inner, of] of Object.entries(value)) collect(inner, of);
  };
  collect("", JSON.parse(credential));
  return [credential, ...secrets.flatMap(ofAuthorization)];
}

function ofAuthorization(authorization: string): string[] {
  const parts = authorization.trim().split(/\s+/);
  const token = parts.at(-1) ?? "";
  const secrets = [authorization.trim(), token];
  if (parts[0]?.toLowerCase() === "basic") {
    const pair = Buffer.from(token, "base64").toString("utf8");
    secrets.push(pair, pair.slice(pair.indexOf(":") + 1));
  }
  return secrets;
}

function* forms(secret: string): Iterable<string> {
  yield secret;
  yield* base64Forms(Buffer.from(secret));
  const url = encodeURIComponent(secret);
  yield* [url, url.replaceAll("%20", "+")].flatMap((form) => [form, lowerEscapes(form)]);
  const strict = url.replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
  yield* [strict, lowerEscapes(strict)];
  const json = JSON.stringify(secret).slice(1, -1);
  yield json;
  yield json.replaceAll("/", "\\/");
  // What Go's encoding/json does to HTML's own characters.
  yield json.replace(/[<>&]/g, (c) => `\\u00${c.charCodeAt(0).toString(16)}`);
  yield goQuoted(secret);
}

function lowerEscapes(text: string): string {
  return text.replace(/%[0-9A-F]{2}/g, (code) => code.toLowerCase());
}

/** The characters that every base64 text which contains the secret must hold, for the three alignments. */
function* base64Forms(secret: Buffer): Iterable<string> {
  for (const shift of [0, 1, 2]) {
    const encoded = Buffer.concat([Buffer.alloc(shift), secret]).toString("base64");
    const first = Math.ceil((shift * 8) / 6);
    const whole = Math.floor(((shift + secret.length) * 8) / 6);
    const core = encoded.slice(first, whole);
    if (core.length < MIN_CHARS) continue;
    yield core;
    yield core.replaceAll("+", "-").replaceAll("/", "_");
  }
}

const GO_ESCAPES: Record<string, string> = {
  "\x07": "\\a",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\v": "\\v",
  "\\": "\\\\",
  '"': '\\"',
};

/** Go's %q without its quotes. */
function goQuoted(secret: string): string {
  let out = "";
  for (const char of secret) {
    const code = char.codePointAt(0) ?? 0;
    if (GO_ESCAPES[char] !== undefined) out += GO_ESCAPES[char];
    else if (code < 0x20 || code === 0x7f) out += `\\x${code.toString(16).padStart(2, "0")}`;
    else out += char;
  }
  return out;
}
