/** What nobody should send: values for every place of a request, and requests made from an OpenAPI document. */
import * as z from "zod";

const LONG = "a".repeat(5_000);

/** Path segments and query values, percent-encoded as they are sent. */
export const HOSTILE_TEXTS: readonly string[] = [
  "",
  ".",
  "..",
  "%2e",
  "%2e%2e",
  ".%2E",
  "..%2f..%2fetc%2fpasswd",
  "..%5c..%5cx",
  "%00",
  "a%00b",
  "%0a",
  "a%0d%0aX-Y:%201",
  "%1b%5b31m",
  "%7f",
  "-rf",
  "--upload-pack=id",
  "%",
  "%zz",
  "%ff%fe",
  "%ed%a0%80",
  "%f0%9f%92%a9",
  "'%20OR%201=1--",
  "%22%3e%3cscript%3e",
  "$(id)",
  ";id",
  "a%2fb",
  "__proto__",
  "constructor",
  "null",
  "-1",
  "0",
  "1e309",
  "99999999999999999999",
  LONG,
  "%41".repeat(2_000),
];

/** JSON values as text, most of which fit no member of any body. */
const HOSTILE_JSON: readonly string[] = [
  "null",
  "true",
  "0",
  "-1",
  "1.5",
  "1e309",
  '""',
  '".."',
  '"-rf"',
  String.raw`"\u0000"`,
  String.raw`"\ud800"`,
  String.raw`"a\nb"`,
  JSON.stringify(LONG),
  "[]",
  "[[[]]]",
  "{}",
  '{"__proto__":{"admin":true}}',
];

/** Whole bodies that are no JSON object. */
const HOSTILE_BODIES: readonly (string | Buffer)[] = [
  "",
  "{",
  "nonsense",
  "null",
  "[]",
  "1",
  '"x"',
  "\u0000",
  Buffer.from([0xff, 0xfe, 0x7b, 0x7d]),
  `\ufeff{}`,
  "[".repeat(30_000),
  `{"a":`.repeat(10_000),
  "x".repeat(2 ** 20),
];

const CONTENT_TYPES: readonly (string | null)[] = [
  null,
  "",
  "text/plain",
  "multipart/form-data",
  "multipart/form-data; boundary=x",
  "application/x-www-form-urlencoded",
  "application/json; charset=utf-16",
  "application/json/json",
  "*/*",
];

const schemaSchema = z.looseObject({
  type: z.union([z.string(), z.array(z.string())]).optional(),
  enum: z.array(z.string()).optional(),
  anyOf: z.array(z.unknown()).optional(),
  minimum: z.number().optional(),
  pattern: z.string().optional(),
  get properties() {
    return z.record(z.string(), schemaSchema).optional();
  },
});
type Schema = z.infer<typeof schemaSchema>;

const operationSchema = z.looseObject({
  parameters: z
    .array(z.looseObject({ in: z.enum(["path", "query", "header"]), name: z.string() }))
    .default([]),
  requestBody: z
    .looseObject({ content: z.record(z.string(), z.looseObject({ schema: schemaSchema })) })
    .optional(),
  responses: z.record(z.string(), z.unknown()),
});
const documentSchema = z.looseObject({
  paths: z.record(z.string(), z.record(z.string(), operationSchema)),
});
export type OpenApi = z.infer<typeof documentSchema>;

export function parseOpenApi(json: unknown): OpenApi {
  return documentSchema.parse(json);
}

/** Well-formed values by name: names of parameters and of members of bodies. None of them names a thing that exists. */
const SAMPLES: Readonly<Record<string, string>> = {
  agent: "default.0123456789abcdef",
  upload: "0".repeat(32),
  part: "1",
  attempt: "1",
  jobid: "00000000-0000-0000-0000-000000000000",
  logid: "0".repeat(32),
  build: "0".repeat(32),
  project: "hostile",
  rule: "Host:hostile.example",
  remote: "git.example",
  owner: "nobody",
  repo: "nothing",
  GOOS: "linux",
  GOARCH: "amd64",
  version: "v1.0.0",
  otp: "99",
  file: "nothing_linux_amd64.tar.gz",
  name: "hostile",
  pool: "hostile",
  x: "A".repeat(43),
  reason: "hostile",
  action: "cordon",
};
/** What `{id}` is, by where it stands. */
const IDS: readonly (readonly [prefix: string, sample: string])[] = [
  ["/api/tokens/", "0".repeat(16)],
  ["/api/agents/", "default.0123456789abcdef"],
  ["/", "0".repeat(32)],
];

export type HostileRequest = {
  method: string;
  /** As it is sent. */
  path: string;
  headers: Record<string, string>;
  body: string | Buffer | null;
};

const JSON_TYPE = { "content-type": "application/json" };

/** Requests of every operation of the document with one thing wrong in each, or more. */
export function* hostileRequests(document: OpenApi): Iterable<HostileRequest> {
  for (const [template, operations] of Object.entries(document.paths))
    for (const [lower, operation] of Object.entries(operations)) {
      const method = lower.toUpperCase();
      const good = fill(template, {});
      const bare = { method, path: good, headers: {}, body: null };
      yield bare;
      for (const { in: place, name } of operation.parameters)
        for (const text of HOSTILE_TEXTS) {
          if (place === "path") yield { ...bare, path: fill(template, { [name]: text }) };
          if (place === "query") yield { ...bare, path: `${good}?${name}=${text}` };
        }
      for (const text of HOSTILE_TEXTS) yield { ...bare, path: `${good}?${text}=${text}&=` };
      const schema = operation.requestBody?.content["application/json"]?.schema;
      if (method === "GET" || method === "HEAD") continue;
      for (const body of HOSTILE_BODIES) yield { ...bare, headers: JSON_TYPE, body };
      const sample = JSON.stringify(schema === undefined ? {} : sampleOf("", schema));
      for (const type of CONTENT_TYPES)
        yield { ...bare, headers: type === null ? {} : { "content-type": type }, body: sample };
      if (schema === undefined) continue;
      for (const body of spoiled(JSON.parse(sample))) yield { ...bare, headers: JSON_TYPE, body };
    }
}

/** A well-formed path of every template of the document. */
export function samplePaths(document: OpenApi): string[] {
  return Object.keys(document.paths).map((template) => fill(template, {}));
}

function fill(template: string, values: Record<string, string>): string {
  const id = IDS.find(([prefix]) => template.startsWith(prefix))?.[1];
  const samples: Record<string, string | undefined> = { ...SAMPLES, id, ...values };
  return template.replaceAll(/\{(\w+)\}/g, (_, name: string) => known(samples[name], name));
}

function known(sample: string | undefined, name: string): string {
  if (sample === undefined) throw new Error(`SAMPLES needs a well-formed ${name}`);
  return sample;
}

function sampleOf(name: string, schema: Schema): unknown {
  const [choice] = schema.enum ?? [];
  if (choice !== undefined) return choice;
  const types = [schema.type].flat();
  if (schema.properties !== undefined)
    return Object.fromEntries(
      Object.entries(schema.properties).map(([key, value]) => [key, sampleOf(key, value)]),
    );
  if (types.includes("object")) return {};
  if (types.includes("array")) return [];
  if (types.includes("boolean")) return false;
  if (types.includes("integer")) return schema.minimum ?? 0;
  return SAMPLES[name] ?? "hostile";
}

/** The object as JSON with each member left out, or of each wrong kind; those of its objects too. */
export function* spoiled(value: Record<string, unknown>): Iterable<string> {
  yield JSON.stringify({ ...value, more: LONG.repeat(3) });
  for (const [key, member] of Object.entries(value)) {
    const { [key]: _, ...rest } = value;
    yield JSON.stringify(rest);
    const before = JSON.stringify(rest).slice(0, -1);
    const comma = Object.keys(rest).length > 0 ? "," : "";
    for (const wrong of HOSTILE_JSON) yield `${before}${comma}${JSON.stringify(key)}:${wrong}}`;
    if (isObject(member))
      for (const inner of spoiled(member))
        yield `${before}${comma}${JSON.stringify(key)}:${inner}}`;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
