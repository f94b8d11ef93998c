import * as z from "zod";
import { attemptSchema, buildIdSchema } from "../../shared/builds.ts";
import { sha256Schema } from "../../shared/hashes.ts";

/** The right to send one part of one upload (protocol rule 6). `exp` is seconds since the epoch. */
export const ticketSchema = z.object({
  build: buildIdSchema,
  attempt: attemptSchema,
  upload: z.string(),
  part: z.int().min(1),
  key: z.string(),
  /** R2's id of the multipart upload; null when the whole file is this one put. */
  upload_id: z.string().nullable(),
  /** Bytes of this part, exactly. */
  size: z.int().min(0),
  /** Of the whole file; null for a part, which R2 cannot check alone. */
  sha256: sha256Schema.nullable(),
  content_type: z.string(),
  exp: z.int(),
});
export type Ticket = z.infer<typeof ticketSchema>;
