/** What a caller would rather read (RFC 9110 section 12.5.1). */

/** True when `text/plain` is asked for before any JSON, or by curl, which asks for nothing. */
export function prefersPlainText(
  accept: string | undefined,
  userAgent: string | undefined,
): boolean {
  if (accept === undefined || accept.trim() === "*/*" || accept.trim() === "")
    return /^curl\//i.test(userAgent ?? "");
  return acceptQuality(accept, "text/plain") > jsonQuality(accept);
}

/** True when HTML is asked for before any JSON and plain text: as browsers do, and nobody who does not say so. */
export function prefersHtml(accept: string | undefined): boolean {
  if (accept === undefined) return false;
  return (
    acceptQuality(accept, "text/html") >
    Math.max(jsonQuality(accept), acceptQuality(accept, "text/plain"))
  );
}

function jsonQuality(accept: string): number {
  return Math.max(
    acceptQuality(accept, "application/json"),
    acceptQuality(accept, "application/problem+json"),
  );
}

/** The quality (0 to 1) that an Accept header gives a media type, by its most specific range (RFC 9110 section 12.5.1). */
export function acceptQuality(accept: string, type: string): number {
  const major = type.slice(0, type.indexOf("/"));
  let best = { rank: -1, quality: 0 };
  for (const part of accept.toLowerCase().split(",")) {
    const [range = "", ...parameters] = part.split(";").map((piece) => piece.trim());
    const rank = [`*/*`, `${major}/*`, type].indexOf(range);
    if (rank <= best.rank) continue;
    const q = parameters.find((parameter) => parameter.startsWith("q="))?.slice(2) ?? "1";
    best = { rank, quality: Math.min(Math.max(Number(q) || 0, 0), 1) };
  }
  return best.quality;
}
