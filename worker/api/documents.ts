/** Pieces of the OpenAPI document that the faces share, made from the schemas that validate. */
import * as z from "zod";
import { PROBLEMS, type ProblemCode } from "../../shared/problem.ts";

/** RFC 9457. Some problems have members of their own besides. */
export const problemSchema = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    code: z.enum(Object.keys(PROBLEMS) as [ProblemCode, ...ProblemCode[]]),
  })
  .openapi("Problem");

type Documented = {
  description: string;
  content: Record<string, { schema: z.ZodType }>;
};

/** The `responses` of these problems, by status. */
export function problems(...codes: ProblemCode[]): Record<number, Documented> {
  const responses: Record<number, Documented> = {};
  for (const code of codes) {
    const [status, title] = PROBLEMS[code];
    const known = responses[status];
    responses[status] = {
      description:
        known === undefined
          ? `\`${code}\`: ${title}`
          : `${known.description}; \`${code}\`: ${title}`,
      content: {
        "application/problem+json": { schema: problemSchema },
        "text/plain": { schema: z.string() },
      },
    };
  }
  return responses;
}

/** The body of one JSON answer. */
export function json(description: string, schema: z.ZodType): Documented {
  return { description, content: { "application/json": { schema } } };
}
