/** Conditional and range requests (RFC 9110 sections 13 and 14), decided from what a manifest says of a file. */

export type Representation = {
  /** With its quotes; always strong. */
  etag: string;
  /** Milliseconds since the epoch. */
  modified_at: number;
  /** Bytes. */
  size: number;
};

export type Decision =
  | { status: 200 }
  | { status: 206; offset: number; length: number }
  | { status: 304 | 412 | 416 };

/** What to answer to a GET or HEAD with these headers. The order of the checks is RFC 9110 section 13.2.2. */
export function decide(method: string, headers: Headers, file: Representation): Decision {
  const ifMatch = headers.get("if-match");
  const ifUnmodifiedSince = date(headers.get("if-unmodified-since"));
  if (ifMatch !== null) {
    if (!lists(ifMatch, file.etag, false)) return { status: 412 };
  } else if (ifUnmodifiedSince !== null && seconds(file.modified_at) > ifUnmodifiedSince)
    return { status: 412 };

  const ifNoneMatch = headers.get("if-none-match");
  const ifModifiedSince = date(headers.get("if-modified-since"));
  if (ifNoneMatch !== null) {
    if (lists(ifNoneMatch, file.etag, true)) return { status: 304 };
  } else if (ifModifiedSince !== null && seconds(file.modified_at) <= ifModifiedSince)
    return { status: 304 };

  if (method !== "GET" || !rangeStillHolds(headers.get("if-range"), file)) return { status: 200 };
  return chooseRange(headers.get("range"), file.size);
}

/** A range of anything but this very representation is answered with the whole of it. */
function rangeStillHolds(ifRange: string | null, file: Representation): boolean {
  if (ifRange === null) return true;
  const value = ifRange.trim();
  if (value.startsWith('"')) return value === file.etag;
  return date(value) === seconds(file.modified_at);
}

/** One byte range; several, or a malformed one, are answered with the whole (section 14.2 allows it). */
function chooseRange(header: string | null, size: number): Decision {
  const match = /^bytes=\s*(\d{0,15})-(\d{0,15})\s*$/i.exec(header ?? "");
  const [, first = "", last = ""] = match ?? [];
  if (first === "" && last === "") return { status: 200 };
  if (first === "") {
    const length = Math.min(Number(last), size);
    return length === 0 ? { status: 416 } : { status: 206, offset: size - length, length };
  }
  if (last !== "" && Number(last) < Number(first)) return { status: 200 };
  if (Number(first) >= size) return { status: 416 };
  const end = last === "" ? size - 1 : Math.min(Number(last), size - 1);
  return { status: 206, offset: Number(first), length: end - Number(first) + 1 };
}

/** Whether a list of entity tags holds this one. Only the weak comparison takes `W/"…"`. */
function lists(header: string, etag: string, weak: boolean): boolean {
  if (header.trim() === "*") return true;
  const tags = header.match(/(?:W\/)?"[^"]*"/g) ?? [];
  return tags.some((tag) => tag === etag || (weak && tag === `W/${etag}`));
}

function seconds(ms: number): number {
  return Math.floor(ms / 1_000);
}

/** Seconds since the epoch; null for what is no HTTP date, which is ignored (section 13.1.3). */
function date(header: string | null): number | null {
  if (header === null || !/GMT\s*$/.test(header)) return null;
  const ms = Date.parse(header);
  return Number.isNaN(ms) ? null : seconds(ms);
}
