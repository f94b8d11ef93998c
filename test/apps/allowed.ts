/** In what an app behind the edge may differ from one that is asked directly, and why. docs/web-apps.md shows this table. */
import { CASE } from "./app.ts";

export type Fields = [name: string, value: string][];

/** What client and app saw of one exchange. */
export type Outcome = {
  status: number;
  informational: number[];
  headers: Fields;
  /** Of the body: its bytes, or their hash. */
  body: string;
  whole: boolean;
  seen: { method: string; target: string; headers: Fields; trailers: Fields; body: string }[];
};

export type Allowed = {
  what: string;
  why: string;
  /** What is left to compare, of either side. */
  forgive(outcome: Outcome): Outcome;
};

const WORKERD = "workerd's `Headers`";

export const ALLOWED: readonly Allowed[] = [
  {
    what: "Header names are in lower case; a repeated header comes once, its values joined by `, ` (not `Set-Cookie`)",
    why: `${WORKERD}; RFC 9110 section 5.3 makes them the same`,
    forgive: ({ seen, ...rest }) => ({
      ...rest,
      headers: joined(rest.headers),
      seen: seen.map((one) => ({ ...one, headers: joined(one.headers) })),
    }),
  },
  {
    what: "`Connection`, `Keep-Alive`, `TE`, `Trailer`, `Transfer-Encoding`, `Upgrade`, `Proxy-…` end at the edge",
    why: "They are about one connection (RFC 9110 section 7.6.1)",
    forgive: both(
      without(/^(?:connection|keep-alive|te|trailer|transfer-encoding|upgrade|proxy-.*)$/),
    ),
  },
  {
    what: "A header of an answer that its `Connection` names ends at the edge; one of a request arrives",
    why: "The same section; workerd does not show a request's `Connection`",
    forgive: answer(without(/^x-hop$/)),
  },
  {
    what: "`X-Forwarded-For`, `-Host`, `-Port`, `-Proto`, `-Prefix`, `X-Real-IP` and `CF-Connecting-IP` are the edge's; a client's `Forwarded`, `CF-…` and `Railhead-…` do not arrive",
    why: "An app may trust them. A client's `X-Forwarded-For` stays in front of the edge's",
    forgive: request(without(/^(?:x-forwarded-.*|x-real-ip|forwarded|cf-.*|railhead-.*)$/)),
  },
  {
    what: "`Railhead-…` of an answer does not arrive",
    why: "The edge's own words",
    forgive: answer(without(/^railhead-/)),
  },
  {
    what: "`Accept-Encoding` is workerd's",
    why: "workerd rewrites it. What the app encodes passes untouched",
    forgive: request(without(/^accept-encoding$/)),
  },
  {
    what: "No 1xx of the app's arrives; `Expect: 100-continue` is answered by the edge",
    why: "workerd has none",
    forgive: (outcome) => request(without(/^expect$/))({ ...outcome, informational: [] }),
  },
  {
    what: "No trailers, either way",
    why: "workerd does not show them",
    forgive: ({ seen, ...rest }) => ({
      ...rest,
      seen: seen.map((one) => ({ ...one, trailers: [] })),
    }),
  },
  {
    what: "A request without a body may say `Content-Length: 0`",
    why: "It means the same (RFC 9110 section 8.6)",
    forgive: request((fields) =>
      fields.filter(([name, value]) => name !== "content-length" || value !== "0"),
    ),
  },
  {
    what: "204 and 304 have no `Content-Length`",
    why: "workerd leaves it out",
    forgive: (outcome) =>
      outcome.status === 204 || outcome.status === 304
        ? answer(without(/^content-length$/))(outcome)
        : outcome,
  },
  {
    what: "`Date` is set",
    why: "By whoever is first to miss it",
    forgive: answer(without(/^date$/)),
  },
  {
    what: "`Host` is in lower case",
    why: "workerd; host names have no case",
    forgive: request((fields) =>
      fields.map(([name, value]) => [name, name === "host" ? value.toLowerCase() : value]),
    ),
  },
  {
    what: "Bytes of a header that are no UTF-8 arrive as UTF-8: an answer's taken for latin-1, a request's as U+FFFD",
    why: "workerd's headers are UTF-8 text",
    forgive: both((fields) =>
      fields.map(([name, value]) => [
        name,
        name === "x-latin" ? value.replace(/[^ -~]+/g, "?") : value,
      ]),
    ),
  },
  {
    what: "A path is written as browsers write it: dots resolved, `\\` as `/`, odd characters percent-encoded; never in absolute form",
    why: "workerd's URLs are the WHATWG's. What is percent-encoded stays as it is",
    forgive: ({ seen, ...rest }) => ({
      ...rest,
      seen: seen.map((one) => ({ ...one, target: normal(one.target) })),
    }),
  },
];

const NO_URI = {
  status: 400,
  what: '`<`, `>` and a back quote in a path, `"` in a query: the client gets 400',
  why: "They are no part of a URI, and workerd refuses them",
};

/** Requests that the app does not get, with the status that the client gets instead. */
export const WITHHELD: Readonly<Record<string, { status: number; what: string; why: string }>> = {
  "GET /a%3Cb%3E 5": NO_URI,
  "GET /a%60b 4": NO_URI,
  "GET /?a=%22b%22 7": NO_URI,
  "OPTIONS of *": {
    status: 500,
    what: "`OPTIONS *` has no answer",
    why: "It has no URL; the local runtime says 500",
  },
};

/** Rows of the table in docs/web-apps.md. */
export function tableOf(): string[] {
  const all = new Set<{ what: string; why: string }>([...ALLOWED, ...Object.values(WITHHELD)]);
  return [...all].map(({ what, why }) => `| ${what} | ${why} |`);
}

/** Fields that every exchange has, for the test's own sake. */
export const OWN = new RegExp(`^(?:${CASE})$`);

function without(names: RegExp): (fields: Fields) => Fields {
  return (fields) => fields.filter(([name]) => !names.test(name.toLowerCase()));
}

function answer(change: (fields: Fields) => Fields): (outcome: Outcome) => Outcome {
  return (outcome) => ({ ...outcome, headers: change(outcome.headers) });
}

function request(change: (fields: Fields) => Fields): (outcome: Outcome) => Outcome {
  return ({ seen, ...rest }) => ({
    ...rest,
    seen: seen.map((one) => ({ ...one, headers: change(one.headers) })),
  });
}

function both(change: (fields: Fields) => Fields): (outcome: Outcome) => Outcome {
  return (outcome) => request(change)(answer(change)(outcome));
}

function joined(fields: Fields): Fields {
  const found = new Map<string, string>();
  const cookies: Fields = [];
  for (const [name, value] of fields) {
    const lower = name.toLowerCase();
    if (lower === "set-cookie") cookies.push([lower, value]);
    else found.set(lower, found.has(lower) ? `${found.get(lower)}, ${value}` : value);
  }
  return [...[...found].sort(([a], [b]) => (a < b ? -1 : 1)), ...cookies];
}

function normal(target: string): string {
  const url = new URL(/^https?:/.test(target) ? target : `http://any.example${target}`);
  return url.href.slice(url.origin.length);
}
