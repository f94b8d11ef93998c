/**
 * How the Worker hands a client's request on to an App object: the URL is the object's own, what the edge knows of the
 * request stands in headers that no client can set.
 */
import type { Arrival } from "./headers.ts";
import type { LogsWanted } from "./logs.ts";

/** Host of the URLs by which an agent's upgrade is handed on. */
export const AGENT_HOST = "agent.internal";
const REQUEST_HOST = "request.internal";
const LOGS_HOST = "logs.internal";
const ARRIVAL = "railhead-arrival";

export type Handed =
  /** `target`: path and query as the app is to see them. */
  { kind: "request"; target: string; arrival: Arrival } | ({ kind: "logs" } & LogsWanted);

/** `path` is what the app sees, percent-encoded; the query is the request's own. */
export function handRequest(request: Request, path: string, arrival: Arrival): Request {
  const handed = new Request(`https://${REQUEST_HOST}/`, request);
  // Not URL's `search`, which forgets a `?` with nothing behind it.
  const query = /\?.*/.exec(request.url)?.[0] ?? "";
  handed.headers.set(
    ARRIVAL,
    encodeURIComponent(JSON.stringify({ ...arrival, target: path + query })),
  );
  return handed;
}

/** A viewer's WebSocket upgrade. */
export function handLogs(request: Request, wanted: LogsWanted): Request {
  const handed = new Request(`https://${LOGS_HOST}/`, request);
  handed.headers.set(ARRIVAL, encodeURIComponent(JSON.stringify(wanted)));
  return handed;
}

/** What the Worker wrote; it is the Worker's own word, so it is not checked again. */
export function handed(request: Request): Handed {
  const said = JSON.parse(decodeURIComponent(request.headers.get(ARRIVAL) ?? "null"));
  if (new URL(request.url).hostname === LOGS_HOST) return { kind: "logs", ...said };
  const { target, ...arrival } = said;
  return { kind: "request", target, arrival };
}
