/** The syntax of Traefik 2 and 3: Host(`a.example`) && (PathPrefix(`/x`) || !Method(`POST`)). */
import { allOf, anyOf, type Condition, type Rule, RuleError } from "./condition.ts";
import * as matchers from "./matchers.ts";

/** Nested parentheses and negations: more is no rule that a person wrote. */
const MAX_DEPTH = 32;

type Arity = "one or more" | "two" | "one or two";
type Matcher = { arity: Arity; make: (values: string[]) => Condition };

const each = (make: (value: string) => Condition): Matcher => ({
  arity: "one or more",
  make: (values) => anyOf(values.map(make)),
});
const named = (make: (name: string, value: string) => Condition): Matcher => ({
  arity: "two",
  make: ([name = "", value = ""]) => make(name, value),
});

/** What version 2 called otherwise than version 3 is there under both names. */
const MATCHERS: Record<string, Matcher> = {
  Host: each(matchers.host),
  HostHeader: each(matchers.host),
  HostRegexp: each(matchers.hostRegexp),
  Path: each(matchers.path),
  PathPrefix: each(matchers.pathPrefix),
  PathRegexp: each(matchers.pathRegexp),
  Method: each(matchers.method),
  Header: named(matchers.header),
  Headers: named(matchers.header),
  HeaderRegexp: named(matchers.headerRegexp),
  HeadersRegexp: named(matchers.headerRegexp),
  Query: { arity: "one or two", make: parameter },
  QueryRegexp: named(matchers.queryRegexp),
};

type Token = { kind: "name" | "value" | "sign"; text: string };

const TOKEN = /\s*(?:(&&|\|\||[!(),])|([A-Za-z][A-Za-z0-9.-]*)|`([^`]*)`|("(?:[^"\\]|\\.)*"))/y;

/** @throws RuleError */
export function parseTraefik3(text: string): Rule {
  const parser = new Parser(tokens(text));
  const condition = parser.alternatives(0);
  parser.end();
  return { text, condition, rewrites: [] };
}

class Parser {
  readonly #tokens: Token[];
  #at = 0;

  constructor(tokens: Token[]) {
    this.#tokens = tokens;
  }

  alternatives(depth: number): Condition {
    const of = [this.#conjunction(depth)];
    while (this.#take("||")) of.push(this.#conjunction(depth));
    return anyOf(of);
  }

  end(): void {
    const next = this.#tokens[this.#at];
    if (next) throw new RuleError(`"${next.text}" is not expected where it stands`);
  }

  #conjunction(depth: number): Condition {
    const of = [this.#term(depth)];
    while (this.#take("&&")) of.push(this.#term(depth));
    return allOf(of);
  }

  #term(depth: number): Condition {
    if (depth > MAX_DEPTH) throw new RuleError(`it is nested more than ${MAX_DEPTH} deep`);
    if (this.#take("!")) return { kind: "not", of: this.#term(depth + 1) };
    if (!this.#take("(")) return this.#matcher();
    const inner = this.alternatives(depth + 1);
    this.#expect(")");
    return inner;
  }

  #matcher(): Condition {
    const token = this.#tokens[this.#at++];
    if (token?.kind !== "name")
      throw new RuleError(`a matcher such as Host(\`a.example\`) is missing${before(token)}`);
    const matcher = Object.hasOwn(MATCHERS, token.text) ? MATCHERS[token.text] : undefined;
    if (matcher === undefined)
      throw new RuleError(
        `"${token.text}" is no matcher. There are ${Object.keys(MATCHERS).join(", ")}`,
      );
    this.#expect("(");
    const values = [this.#value(token.text)];
    while (this.#take(",")) values.push(this.#value(token.text));
    this.#expect(")");
    if (!fits(matcher.arity, values.length))
      throw new RuleError(`${token.text} takes ${matcher.arity} values, not ${values.length}`);
    return matcher.make(values);
  }

  #value(name: string): string {
    const token = this.#tokens[this.#at++];
    if (token?.kind === "value") return token.text;
    throw new RuleError(`the values of ${name} stand in backticks: ${name}(\`…\`)`);
  }

  #take(sign: string): boolean {
    const next = this.#tokens[this.#at];
    if (next?.kind !== "sign" || next.text !== sign) return false;
    this.#at++;
    return true;
  }

  #expect(sign: string): void {
    if (!this.#take(sign))
      throw new RuleError(`a ${sign} is missing${before(this.#tokens[this.#at])}`);
  }
}

function tokens(text: string): Token[] {
  const found: Token[] = [];
  TOKEN.lastIndex = 0;
  const end = text.trimEnd().length;
  while (TOKEN.lastIndex < end) {
    const from = TOKEN.lastIndex;
    const match = TOKEN.exec(text);
    if (match === null)
      throw new RuleError(`it cannot be read from "${text.slice(from).trim()}" on`);
    const [, sign, name, plain, quoted] = match;
    if (sign !== undefined) found.push({ kind: "sign", text: sign });
    else if (name !== undefined) found.push({ kind: "name", text: name });
    else found.push({ kind: "value", text: plain ?? unquoted(quoted as string) });
  }
  return found;
}

/** A Go string literal in double quotes. */
function unquoted(text: string): string {
  try {
    return String(JSON.parse(text));
  } catch {
    throw new RuleError(`${text} is no string`);
  }
}

function fits(arity: Arity, count: number): boolean {
  if (arity === "two") return count === 2;
  return arity === "one or more" || count <= 2;
}

/** Version 2 wrote `a=b` in one value, version 3 writes two. */
function parameter([first = "", second]: string[]): Condition {
  if (second !== undefined) return matchers.query(first, second);
  const at = first.indexOf("=");
  return at === -1
    ? matchers.query(first, null)
    : matchers.query(first.slice(0, at), first.slice(at + 1));
}

function before(token: Token | undefined): string {
  return token === undefined ? " at the end" : ` before "${token.text}"`;
}
