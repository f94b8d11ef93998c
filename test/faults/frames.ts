/** The length of WebSocket frames, for those who pass them on (RFC 6455, section 5.2). */

/** Bytes of the first frame in `bytes`; null while it is not whole. */
export function frameEnd(bytes: Buffer): number | null {
  if (bytes.length < 2) return null;
  const second = bytes.readUInt8(1);
  const short = second & 0x7f;
  const lengthBytes = short === 126 ? 2 : short === 127 ? 8 : 0;
  if (bytes.length < 2 + lengthBytes) return null;
  const payload =
    lengthBytes === 2
      ? bytes.readUInt16BE(2)
      : lengthBytes === 8
        ? Number(bytes.readBigUInt64BE(2))
        : short;
  const end = 2 + lengthBytes + ((second & 0x80) !== 0 ? 4 : 0) + payload;
  return bytes.length < end ? null : end;
}
