/** The HTTP client that isomorphic-git is given: bounded in time, bytes and redirects, and it never leaves the host. */
import type { GitHttpRequest, GitHttpResponse, HttpClient } from "isomorphic-git";
import { type Bounds, fetchHost, GitHostFailure, joined, readBody } from "./host-fetch.ts";

const BOUNDS: Bounds = {
  ms: 15_000,
  /** Some 100 000 references. */
  bytes: 12 * 1024 * 1024,
  of: "references",
};
/** Some hosts serve git only to what looks like git. */
const USER_AGENT = "git/2.47 (railhead)";

export const gitHttp: HttpClient = { request };

/** Throws GitHostFailure. Answers other than 200 are passed on for isomorphic-git to report. */
async function request({
  url,
  method = "GET",
  headers = {},
  body,
}: GitHttpRequest): Promise<GitHttpResponse> {
  const init: RequestInit = { method, headers: { ...headers, "user-agent": USER_AGENT } };
  if (body !== undefined) init.body = await collect(body);
  const response = await fetchHost(new URL(url), init, BOUNDS);
  if (response.status === 200) refuseWhatIsNotGit(response, method);
  return {
    url,
    method,
    statusCode: response.status,
    statusMessage: response.statusText,
    headers: Object.fromEntries(response.headers),
    body: once(await readBody(response, BOUNDS)),
  };
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

async function* once(bytes: Uint8Array): AsyncIterableIterator<Uint8Array> {
  yield bytes;
}

async function collect(
  body: NonNullable<GitHttpRequest["body"]>,
): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  for await (const chunk of body) chunks.push(new Uint8Array(chunk));
  return joined(chunks);
}
