/**
 * The bytes of base64 (RFC 4648 section 4), null for what is none. Byte by byte: `Uint8Array.from` with a function makes a
 * list of as many numbers first, which for a tar is more than an isolate has.
 */
export function decodeBase64(text: string): Uint8Array<ArrayBuffer> | null {
  let binary: string;
  try {
    binary = atob(text);
  } catch {
    return null;
  }
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}
