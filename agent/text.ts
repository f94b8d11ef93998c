/** What a container printed, as text that is safe to store, to show and to search: hostile bytes in, plain text out. */

/** Bytes of the longest escape sequence that is recognised as one. */
export const ESCAPE_BYTES = 2_048;

// Colours and cursor moves (CSI), titles and links (OSC, DCS …), character sets and two-character escapes (ECMA-48).
const ESCAPE = new RegExp(
  [
    String.raw`\x1b\[[0-?]{0,64}[ -/]{0,8}[@-~]`,
    String.raw`\x1b[\]PX^_][^\x07\x1b]{0,${ESCAPE_BYTES - 4}}(?:\x07|\x1b\\)`,
    String.raw`\x1b[ -/]{1,4}[0-~]`,
    String.raw`\x1b[0-Z\\^-~]`,
  ].join("|"),
  "g",
);
const ESCAPE_HERE = new RegExp(`(?:${ESCAPE.source})`, "y");
/** Every control character (C0, DEL, C1) but the tab. */
const CONTROL = /[^\P{Cc}\t]/u;
const CONTROLS = new RegExp(CONTROL, "gu");
const TO_PICTURE = 0x2400;
const DELETE_PICTURE = "\u2421";
const REPLACEMENT = "\ufffd";
const LF = 0x0a;
const CR = 0x0d;
const ESC = 0x1b;

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * Text of raw bytes: invalid UTF-8 becomes U+FFFD, escape sequences go, other control characters (NUL too)
 * become visible pictures; tabs stay.
 */
export function clean(raw: Uint8Array): string {
  const text = decoder.decode(raw);
  if (!CONTROL.test(text)) return text;
  return text.replace(ESCAPE, "").replace(CONTROLS, picture);
}

function picture(char: string): string {
  const code = char.charCodeAt(0);
  if (code < 0x20) return String.fromCharCode(TO_PICTURE + code);
  return code === 0x7f ? DELETE_PICTURE : REPLACEMENT;
}

/** Text with a full stop behind it, where it has no end of its own. */
export function sentence(text: string): string {
  return /[.!?:…]$/.test(text) ? text : `${text}.`;
}

/** What a terminal would still show of a line that a progress bar wrote over: the last state that is not empty. */
export function lastState(line: Buffer): Buffer {
  let end = line.length;
  while (end > 0 && (line[end - 1] === LF || line[end - 1] === CR)) end -= 1;
  const start = line.lastIndexOf(CR, end - 1) + 1;
  return line.subarray(end === 0 ? 0 : start, end);
}

/** The nearest place at or before `at`, never 0, that splits neither a rune nor an escape sequence. */
export function safeCut(raw: Buffer, at: number): number {
  let cut = at;
  for (let back = 0; back < 3 && cut > 1 && isContinuation(raw[cut]); back++) cut -= 1;
  const start = raw.lastIndexOf(ESC, cut - 1);
  if (start === -1 || start < cut - ESCAPE_BYTES) return cut;
  const around = raw.subarray(start, start + ESCAPE_BYTES).toString("latin1");
  ESCAPE_HERE.lastIndex = 0;
  const length = ESCAPE_HERE.exec(around)?.[0].length ?? 1;
  if (start + length <= cut) return cut;
  return start > 0 ? start : length;
}

function isContinuation(byte: number | undefined): boolean {
  return byte !== undefined && (byte & 0xc0) === 0x80;
}
