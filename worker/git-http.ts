/** The HTTP client that isomorphic-git is given: bounded in time, bytes and redirects, and it never leaves the host. */
import type { GitHttpRequest, GitHttpResponse, HttpClient } from "isomorphic-git";

/** Milliseconds that a git host has for one answer, its body included. */
const ANSWER_MS = 15_000;
/** Bytes of one answer: some 100 000 references. */
const ANSWER_BYTES = 12 * 1024 * 1024;
/** Redirects that are followed, on the same origin only: a renamed repository has one. */
const MAX_REDIRECTS = 3;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);
/** Some hosts serve git only to what looks like git. */
const USER_AGENT = "git/2.47 (railhead)";

/** The git host did not answer as a git host does; the message says how. */
export class GitHostFailure extends Error {
  override name = "GitHostFailure";
}

export const gitHttp: HttpClient = { request };

/** Throws GitHostFailure. Answers other than 200 are passed on for isomorphic-git to report. */
async function request({
  url,
  method = "GET",
  headers = {},
  body,
}: GitHttpRequest): Promise<GitHttpResponse> {
  const init: RequestInit = {
    method,
    headers: { ...headers, "user-agent": USER_AGENT },
    redirect: "manual",
    signal: AbortSignal.timeout(ANSWER_MS),
  };
  if (body !== undefined) init.body = await collect(body);
  const response = await follow(new URL(url), init);
  if (response.status === 200) refuseWhatIsNotGit(response, method);
  return {
    url,
    method,
    statusCode: response.status,
    statusMessage: response.statusText,
    headers: Object.fromEntries(response.headers),
    body: once(await read(response)),
  };
}

async function follow(start: URL, init: RequestInit): Promise<Response> {
  let url = start;
  for (let redirects = 0; ; redirects++) {
    const response = await fetch(url, init).catch(failed);
    const location = response.headers.get("location");
    if (!REDIRECTS.has(response.status) || location === null) return response;
    await response.body?.cancel();
    const next = URL.canParse(location, url.href) ? new URL(location, url) : null;
    if (next?.origin !== start.origin) throw new GitHostFailure("it redirects to another host");
    if (redirects === MAX_REDIRECTS) throw new GitHostFailure("it redirects in circles");
    url = next;
  }
}

/** A captive portal, a login page or an error page with status 200 is no answer. */
function refuseWhatIsNotGit(response: Response, method: string): void {
  const expected =
    method === "POST"
      ? "application/x-git-upload-pack-result"
      : "application/x-git-upload-pack-advertisement";
  const type = response.headers.get("content-type")?.split(";")[0]?.trim().toLowerCase();
  if (type === expected) return;
  response.body?.cancel().catch(() => {});
  throw new GitHostFailure("its answer is not git's smart HTTP protocol");
}

/** The whole body: whoever stops reading a stream half-way would keep its connection. */
async function read(response: Response): Promise<Uint8Array> {
  if (response.body === null) return new Uint8Array();
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let bytes = 0;
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read().catch(failed);
    if (done) return joined(chunks);
    bytes += value.byteLength;
    if (bytes > ANSWER_BYTES) {
      reader.cancel().catch(() => {});
      throw new GitHostFailure(`it has more than ${ANSWER_BYTES} bytes of references`);
    }
    chunks.push(new Uint8Array(value));
  }
}

async function* once(bytes: Uint8Array): AsyncIterableIterator<Uint8Array> {
  yield bytes;
}

function failed(error: unknown): never {
  const name = error instanceof Error ? error.name : "";
  throw new GitHostFailure(
    name === "TimeoutError" || name === "AbortError"
      ? `it took longer than ${ANSWER_MS} ms`
      : "the connection failed",
  );
}

async function collect(
  body: NonNullable<GitHttpRequest["body"]>,
): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  for await (const chunk of body) chunks.push(new Uint8Array(chunk));
  return joined(chunks);
}

async function joined(chunks: Uint8Array<ArrayBuffer>[]): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await new Blob(chunks).arrayBuffer());
}
