/** What a committer is told of a build: the same words from the edge and from an agent. */
import * as z from "zod";
import type { Package } from "./recipes/erlang.ts";

/** Characters of a mail address (RFC 5321 section 4.5.3.1.3, without the brackets). */
const ADDRESS_CHARS = 254;
/** Characters of a subject: what mail programs show of one. */
const SUBJECT_CHARS = 150;
/** Lines of a failed build's log that are shown. */
export const NOTICE_LINES = 20;
/** Characters of one such line. */
const LINE_CHARS = 500;

const address = z.email().max(ADDRESS_CHARS);

/** The mail address of a committer, as a commit has it: whoever made it chose the text. */
export const committerSchema = address;

/** `address`, or `Name <address>` (RFC 5322 section 3.4). */
export const mailSenderSchema = z
  .string()
  .max(SUBJECT_CHARS + ADDRESS_CHARS)
  .refine((text) => {
    const [, name, inner] = /^([^<>"\r\n]*)<([^<>]+)>$/.exec(text) ?? [];
    return address.safeParse(name === undefined ? text : inner).success;
  });

export type NoticeFacts = {
  package: Package;
  succeeded: boolean;
  /** Null for a success. */
  reason: string | null;
  /** Absolute. */
  page: string;
  log: string;
  /** The last lines of a failed build's log, oldest first. */
  tail: readonly string[];
};

export type Notice = { subject: string; text: string };

export function noticeOf({
  package: made,
  succeeded,
  reason,
  page,
  log,
  tail,
}: NoticeFacts): Notice {
  const version = made.version === null ? "" : ` ${made.version}`;
  const erlang = made.erl_version === null ? "" : ` for Erlang/OTP ${made.erl_version}`;
  const name = `${made.namespace}/${made.name}${version}${erlang}`;
  const subject = oneLine(`${succeeded ? "Built" : "Failed"}: ${name}`, SUBJECT_CHARS);
  const first = succeeded ? `${name} was built.` : `The build of ${name} failed: ${reason ?? ""}`;
  const lines = tail.slice(-NOTICE_LINES).map((line) => `  ${oneLine(line, LINE_CHARS)}`);
  const shown = succeeded || lines.length === 0 ? [] : ["", "Its log ends with:", "", ...lines];
  const text = [oneLine(first, 2 * LINE_CHARS), "", `Build: ${page}`, `Log:   ${log}`, ...shown];
  return { subject, text: `${text.join("\n")}\n` };
}

/** Text without line ends and other controls, which a header must not hold and a terminal not be sent. */
function oneLine(text: string, chars: number): string {
  const plain = text.replaceAll(/[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]+/gu, " ").trim();
  return plain.length > chars ? `${plain.slice(0, chars - 1)}…` : plain;
}
