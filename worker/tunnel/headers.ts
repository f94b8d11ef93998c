/** Headers on their way through the edge (RFC 9110 section 7.6.1). Pure. */

/** Between two neighbours only; the tunnel has its own. `trailer` goes with the trailers, which workerd does not show. */
const HOP_BY_HOP = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);
/** What the platform adds for us, not for the app, and what only the edge may say. */
const EDGE_ONLY =
  /^(?:cf-(?!connecting-ip$|ipcountry$|ray$)|x-forwarded-|forwarded$|x-real-ip$|railhead-)/;

/** How the request came to the edge, for `X-Forwarded-…`. */
export type Arrival = {
  host: string;
  proto: string;
  /** Address of the client; null where the platform does not say. */
  client: string | null;
  /** What was taken off the path. */
  prefix: string | null;
};

/** The headers that the app gets. `host` first: it is the one that was asked for. */
export function requestHeaders(headers: Headers, arrival: Arrival): [string, string][] {
  const hops = connectionOptions(headers);
  const kept = [...headers].filter(
    ([name]) =>
      name !== "host" && !HOP_BY_HOP.has(name) && !hops.has(name) && !EDGE_ONLY.test(name),
  );
  return [["host", arrival.host], ...kept, ...forwarded(headers, arrival)];
}

/** The headers that the client gets. */
export function responseHeaders(pairs: readonly (readonly [string, string])[]): Headers {
  const headers = new Headers();
  const hops = new Set(
    pairs
      .filter(([name]) => name.toLowerCase() === "connection")
      .flatMap(([, value]) => tokens(value)),
  );
  for (const [name, value] of pairs) {
    const lower = name.toLowerCase();
    // `railhead-…` is what the edge says itself.
    if (HOP_BY_HOP.has(lower) || hops.has(lower) || lower.startsWith("railhead-")) continue;
    try {
      headers.append(name, value);
    } catch {
      // Nothing that HTTP knows as a header: the app's own affair, and no reason to fail.
    }
  }
  return headers;
}

function forwarded(headers: Headers, arrival: Arrival): [string, string][] {
  const { host, proto, client, prefix } = arrival;
  const before = headers.get("x-forwarded-for");
  const chain = [before, client].filter((part) => part !== null && part !== "").join(", ");
  const port = /:(\d{1,5})$/.exec(host)?.[1] ?? (proto === "https" ? "443" : "80");
  return [
    ...(chain === "" ? [] : ([["x-forwarded-for", chain]] as [string, string][])),
    ...(client === null ? [] : ([["x-real-ip", client]] as [string, string][])),
    ["x-forwarded-host", host],
    ["x-forwarded-port", port],
    ["x-forwarded-proto", proto],
    ...(prefix === null ? [] : ([["x-forwarded-prefix", prefix]] as [string, string][])),
  ];
}

/** Header names that a Connection header makes hop-by-hop. */
function connectionOptions(headers: Headers): Set<string> {
  return new Set(tokens(headers.get("connection") ?? ""));
}

function tokens(value: string): string[] {
  return value
    .split(",")
    .map((token) => token.trim().toLowerCase())
    .filter((token) => token !== "" && token !== "close");
}
