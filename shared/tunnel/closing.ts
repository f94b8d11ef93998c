/** Bytes of a close frame's reason (RFC 6455 section 5.5: 125, less the code's two). */
const REASON_BYTES = 123;
const NORMAL = 1000;
const PROTOCOL_ERROR = 1002;
/** Codes that an end reports for itself and never sends: no code came, the connection was cut, TLS failed. */
const REPORTED = new Set([1005, 1006, 1015]);
const encoder = new TextEncoder();

/** What may be sent of a close that was heard, whoever said it (RFC 6455 section 7.4): some peers check nothing. */
export function closing(code: number, reason: string): { code: number; reason: string } {
  const bytes = encoder.encode(reason).subarray(0, REASON_BYTES);
  // As of a stream that goes on: a character that was cut through is left out.
  const short = new TextDecoder().decode(bytes, { stream: true });
  if (REPORTED.has(code)) return { code: NORMAL, reason: short };
  const known = (code >= 1000 && code <= 1014 && code !== 1004) || (code >= 3000 && code <= 4999);
  return { code: known ? code : PROTOCOL_ERROR, reason: short };
}
