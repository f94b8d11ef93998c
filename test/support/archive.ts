/** Reads what Railhead hands out, with a reader that is not Railhead's. */
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { createGunzip } from "node:zlib";
import { extract } from "tar-stream";

/** Regular files of a tar.gz by name, in the archive's order. Throws on any other kind of entry but folders. */
export async function archiveFiles(archive: Buffer): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>();
  const entries = Readable.from([archive]).pipe(createGunzip()).pipe(extract());
  for await (const entry of entries) {
    if (entry.header.type === "file") files.set(entry.header.name, await buffer(entry));
    else if (entry.header.type !== "directory")
      throw new Error(`${entry.header.name} is a ${entry.header.type}`);
    entry.resume();
  }
  return files;
}

/** Entries of a tar.gz without their bytes, in the archive's order. */
export async function archiveMembers(
  archive: Buffer,
): Promise<{ name: string; type: string; mode: number }[]> {
  const members: { name: string; type: string; mode: number }[] = [];
  const entries = Readable.from([archive]).pipe(createGunzip()).pipe(extract());
  for await (const entry of entries) {
    const { name, type, mode } = entry.header;
    members.push({ name, type: type ?? "none", mode: mode ?? 0 });
    entry.resume();
  }
  return members;
}
