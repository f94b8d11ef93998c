/** References of a git repository, read over smart HTTP (protocol v2 where the host speaks it). */
import { Errors, getRemoteInfo2, listServerRefs } from "isomorphic-git";
import type { Ref } from "../shared/versions.ts";
import { gitHttp } from "./git-http.ts";
import { GitHostFailure } from "./host-fetch.ts";

export type RefsAnswer =
  | { kind: "ok"; refs: Ref[] }
  /** Absent, or not for this caller: hosts do not tell the two apart, and neither do we. */
  | { kind: "denied" }
  | { kind: "unreachable"; why: string };

/** What of a repository is listed: a prefix that the host filters by. */
export type RefPrefix = "refs/tags/" | "refs/heads/" | "HEAD";

/** Milliseconds for which an anonymous listing may be used again. */
const FRESH_MS = 5_000;
/** Repositories whose listing is kept. */
const KEPT_LISTINGS = 256;
/** Milliseconds that a request waits for a listing that another one began, before it asks for itself. */
const JOIN_MS = 5_000;
const OID = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/;

/**
 * Lists the references below `prefix` of the repository at `url`. `authorization` is sent as it is.
 * Costs two requests to the git host.
 */
export async function listRefs(
  url: string,
  prefix: RefPrefix,
  authorization: string | null,
): Promise<RefsAnswer> {
  try {
    const refs = await listServerRefs({
      http: gitHttp,
      url,
      prefix,
      protocolVersion: 2,
      peelTags: true,
      headers: headersFor(authorization),
    });
    return { kind: "ok", refs: refs.filter(({ ref, oid }) => ref !== undefined && OID.test(oid)) };
  } catch (error) {
    return failure(error);
  }
}

/** Whether the repository at `url` can be read with this credential now. One request; writes and keeps nothing. */
export async function probe(
  url: string,
  authorization: string | null,
): Promise<Exclude<RefsAnswer, { kind: "ok" }> | { kind: "ok" }> {
  try {
    const headers = headersFor(authorization);
    await getRemoteInfo2({ http: gitHttp, url, protocolVersion: 2, headers });
    return { kind: "ok" };
  } catch (error) {
    return failure(error);
  }
}

function headersFor(authorization: string | null): Record<string, string> {
  return authorization === null ? {} : { authorization };
}

function failure(error: unknown): Exclude<RefsAnswer, { kind: "ok" }> {
  if (error instanceof GitHostFailure) return { kind: "unreachable", why: error.message };
  if (error instanceof Errors.HttpError) {
    const status = error.data.statusCode;
    if (status === 401 || status === 403 || status === 404 || status === 410)
      return { kind: "denied" };
    return { kind: "unreachable", why: `it answered with status ${status}` };
  }
  return { kind: "unreachable", why: "its answer breaks git's protocol" };
}

type Listing = { answer: Promise<RefsAnswer>; settled_at: number | null };
const listings = new Map<string, Listing>();

/**
 * `listRefs` without a credential; those who ask for the same listing at once share one. An answer from
 * before `not_before` (ms since the epoch) is not used again: what the caller wants was not in it.
 */
export async function listPublicRefs(
  url: string,
  prefix: RefPrefix,
  not_before = 0,
): Promise<RefsAnswer> {
  const key = `${prefix} ${url}`;
  const known = listings.get(key);
  if (known?.settled_at === null) {
    // The other request may be gone, and with it its promise: never wait for it without end.
    const joined = await within(JOIN_MS, known.answer);
    if (joined !== null) return joined;
  } else if (known !== undefined) {
    const oldest = Math.max(not_before, Date.now() - FRESH_MS);
    if (known.settled_at >= oldest) return known.answer;
  }
  const listing: Listing = { answer: listRefs(url, prefix, null), settled_at: null };
  listings.delete(key);
  listings.set(key, listing);
  for (const oldest of listings.keys()) {
    if (listings.size <= KEPT_LISTINGS) break;
    listings.delete(oldest);
  }
  const answer = await listing.answer;
  if (answer.kind === "ok") listing.settled_at = Date.now();
  else if (listings.get(key) === listing) listings.delete(key);
  return answer;
}

/** What a promise brings, or null when it takes longer than `ms`. */
async function within<T>(ms: number, promise: Promise<T>): Promise<T | null> {
  const late = Promise.withResolvers<null>();
  const timer = setTimeout(() => late.resolve(null), ms);
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
