/** What a schema refuses, in words for whoever sent it. */
import * as z from "zod";

const MISSING = "is missing";
z.config({ customError: ({ input }) => (input === undefined ? MISSING : undefined) });

/**
 * The first member that a schema refused, "" for the whole value, and a sentence's words without its end.
 * `named` is what the sender calls the member at a path.
 */
export function refusedMember(
  { issues }: z.ZodError,
  named: (path: readonly string[]) => string = (path) => path.join("."),
): { member: string; text: string } {
  const { path = [], message = "it is not what is expected here" } = issues[0] ?? {};
  const member = named(path.map(String));
  if (member === "") return { member, text: message === MISSING ? `it ${MISSING}` : message };
  const text = message === MISSING ? message : `is refused: ${message}`;
  return { member, text: `"${member}" ${text}` };
}
