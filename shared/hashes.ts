/** What names content by itself, as it is written everywhere. */
import * as z from "zod";

export const sha256Schema = z.string().regex(/^[0-9a-f]{64}$/, "a SHA-256 is 64 hex digits");
export const commitSchema = z
  .string()
  .regex(/^(?:[0-9a-f]{40}|[0-9a-f]{64})$/, "a commit is 40 or 64 hex digits");
/** An image's manifest in a registry (OCI image specification, "Digests"). */
export const digestSchema = z
  .string()
  .regex(/^sha256:[0-9a-f]{64}$/, "a digest is sha256: and 64 hex digits");
