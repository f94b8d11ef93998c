/** A caller's Authorization header, as the values that git hosts take. Railhead's own tokens are never among them. */
import { CREDENTIAL_CHARS } from "../shared/limits.ts";

/** The user name that a host wants beside a token; any other takes any name. */
const USER_OF_HOST: Record<string, string> = {
  "gitlab.com": "oauth2",
  "bitbucket.org": "x-token-auth",
};
const ANY_USER = "x-access-token";
const TOKEN = /^[\x21-\x7e]+$/;
/** A scheme alone, without a token. */
const SCHEME = /^(?:basic|bearer|token)$/i;

/**
 * The Authorization values to try at a git host for `Basic …`, `Bearer T`, `token T` or a bare `T`, in
 * order. Empty when there is no header, it is malformed, or `isOwn` knows the value for one of ours.
 */
export function gitCredentials(
  header: string | undefined,
  remote: string,
  isOwn: (token: string) => boolean,
): string[] {
  if (header === undefined || header.length > CREDENTIAL_CHARS) return [];
  const [, scheme = "", rest = ""] = /^(?:(basic|bearer|token) +)?(.*)$/i.exec(header.trim()) ?? [];
  if (scheme.toLowerCase() === "basic") {
    const pair = decodeBasic(rest);
    return pair === null || pair.some(isOwn) ? [] : [`Basic ${rest}`];
  }
  if (!TOKEN.test(rest) || SCHEME.test(rest) || isOwn(rest)) return [];
  const user = USER_OF_HOST[remote] ?? ANY_USER;
  return [`Basic ${btoa(`${user}:${rest}`)}`, `Bearer ${rest}`];
}

/** User and password (RFC 7617, UTF-8); null when it is not both. */
export function decodeBasic(encoded: string): [user: string, password: string] | null {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(encoded)) return null;
  let text: string;
  try {
    const bytes = Uint8Array.from(atob(encoded), (character) => character.charCodeAt(0));
    text = new TextDecoder().decode(bytes);
  } catch {
    return null;
  }
  const colon = text.indexOf(":");
  return colon === -1 ? null : [text.slice(0, colon), text.slice(colon + 1)];
}
