import { createHash } from "node:crypto";

/** Of the digest in a name: enough that nobody finds two projects with one name. */
const HASH_CHARS = 16;
/** Ends of names that a project of this name has not chosen. */
const HASHED = /-[0-9a-f]{16}$/;

/**
 * A project's name as Traefik can read it in its labels, which end a name at a dot (traefik/traefik#7283). Traefik 1
 * makes one dash of all signs between letters and digits; so do we, for every version. No two projects share a name.
 */
export function traefikName(project: string): string {
  const plain = project
    .split(/[^A-Za-z0-9]+/)
    .filter(Boolean)
    .join("-");
  if (plain === project && !HASHED.test(project)) return project;
  const hash = createHash("sha256").update(project).digest("hex").slice(0, HASH_CHARS);
  return `${plain}-${hash}`;
}
