/** Requests to git hosts: bounded in time, bytes and redirects, and they never leave the host unasked. */

export type Bounds = {
  /** Milliseconds for one answer, its body included. */
  ms: number;
  /** Bytes of one answer. */
  bytes: number;
  /** What these are, for whoever is told that they are too many. */
  of: string;
  /** Origins that it may redirect to besides its own. */
  origins?: readonly string[];
};

/** Redirects that are followed: a renamed repository has one. */
const MAX_REDIRECTS = 3;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

/** The git host did not answer as a git host does; the message says how. */
export class GitHostFailure extends Error {
  override name = "GitHostFailure";
}

/** The answer at the end of all redirects. Throws GitHostFailure. */
export async function fetchHost(
  start: URL,
  init: RequestInit,
  { ms, origins = [] }: Bounds,
): Promise<Response> {
  const bounded = { ...init, redirect: "manual", signal: AbortSignal.timeout(ms) } as const;
  const allowed = new Set([start.origin, ...origins]);
  let url = start;
  for (let redirects = 0; ; redirects++) {
    const response = await fetch(url, bounded).catch((error) => failed(error, ms));
    const location = response.headers.get("location");
    if (!REDIRECTS.has(response.status) || location === null) return response;
    await response.body?.cancel();
    const next = URL.canParse(location, url.href) ? new URL(location, url) : null;
    if (next === null || !allowed.has(next.origin))
      throw new GitHostFailure("it redirects to another host");
    if (redirects === MAX_REDIRECTS) throw new GitHostFailure("it redirects in circles");
    url = next;
  }
}

/** The whole body: whoever stops reading a stream half-way would keep its connection. Throws GitHostFailure. */
export async function readBody(
  response: Response,
  { ms, bytes: limit, of }: Bounds,
): Promise<Uint8Array<ArrayBuffer>> {
  if (response.body === null) return new Uint8Array();
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let bytes = 0;
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read().catch((error) => failed(error, ms));
    if (done) return joined(chunks);
    bytes += value.byteLength;
    if (bytes > limit) {
      reader.cancel().catch(() => {});
      throw new GitHostFailure(`it has more than ${limit} bytes of ${of}`);
    }
    chunks.push(new Uint8Array(value));
  }
}

export async function joined(
  chunks: readonly Uint8Array<ArrayBuffer>[],
): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await new Blob([...chunks]).arrayBuffer());
}

function failed(error: unknown, ms: number): never {
  const name = error instanceof Error ? error.name : "";
  throw new GitHostFailure(
    name === "TimeoutError" || name === "AbortError"
      ? `it took longer than ${ms} ms`
      : "the connection failed",
  );
}
