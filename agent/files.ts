/** Files that are whole or absent, whatever happens while they are written. */
import { open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";

/** Writes and syncs a file beside `file`, then puts it in its place. */
export async function writeWhole(file: string, content: string, mode: number): Promise<void> {
  const draft = `${file}.${process.pid}.tmp`;
  const handle = await open(draft, "w", mode);
  try {
    await handle.writeFile(content);
    await handle.sync();
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  } finally {
    await handle.close();
  }
  await rename(draft, file);
  const folder = await open(dirname(file), "r");
  await folder.sync().finally(() => folder.close());
}
