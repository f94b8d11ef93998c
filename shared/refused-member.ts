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
  const { path = [], message = "it is not what is expected here" } = innermost(issues[0]) ?? {};
  const member = named(path.map(String));
  if (member === "") return { member, text: message === MISSING ? `it ${MISSING}` : message };
  const text = message === MISSING ? message : `is refused: ${message}`;
  return { member, text: `"${member}" ${text}` };
}

/** Of a name in a record, what is wrong with it; the issue around it only says that something is. */
function innermost(issue: z.core.$ZodIssue | undefined): z.core.$ZodIssue | undefined {
  const inner = issue?.code === "invalid_key" ? issue.issues[0] : undefined;
  return issue && inner ? { ...issue, message: inner.message } : issue;
}
