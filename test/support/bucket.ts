/** The bucket of a running stack, as a lifecycle rule or an operator's hand reaches it: behind the Worker's back. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { TestStack } from "./stack.ts";

/** Milliseconds to wait for the runtime's own writes. */
const BUSY_MS = 5_000;

/** Deletes every object with this name that a build put there. @returns how many there were */
export async function loseFile(stack: TestStack, build: string, name: string): Promise<number> {
  const root = join(stack.folder, "edge");
  const files = (await readdir(root, { recursive: true })).filter((file) =>
    /r2.*\.sqlite$/.test(file),
  );
  let lost = 0;
  for (const file of files) {
    const database = new DatabaseSync(join(root, file), { timeout: BUSY_MS });
    try {
      const tables = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all();
      if (!tables.some((table) => table.name === "_mf_objects")) continue;
      const deleted = database
        .prepare("DELETE FROM _mf_objects WHERE key GLOB ?")
        .run(`*builds/${build}/*/${name}`);
      lost += Number(deleted.changes);
    } finally {
      database.close();
    }
  }
  return lost;
}
