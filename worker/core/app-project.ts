/** A project's own row: it is there from its first variable or deploy on, until it is removed or nothing of it is left. */
import type { AppParts } from "./app-ports.ts";

type Parts = Pick<AppParts, "rows" | "outbox">;

/** Call it in the transaction of what it is there for. */
export function foundProject({ rows, outbox }: Parts, name: string): void {
  if (rows.project() !== null) return;
  rows.found(name);
  outbox.put("listing", name, null);
}

/** Forgets a project without deployments and variables. Call it in the transaction that took the last of them. */
export function forgetIfEmpty({ rows, outbox }: Parts): void {
  const project = rows.project();
  if (project === null || rows.deployments().length > 0 || rows.env().length > 0) return;
  rows.forget();
  outbox.put("listing", project.name, null);
}
