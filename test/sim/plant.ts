/** Loads the sources with a hole in them: call it before anything of them is imported. */
import { registerHooks } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Hole } from "./holes.ts";

const ROOT = join(import.meta.dirname, "../..");

/** What checks that every edit of the hole was made, once the sources are loaded. */
export function plant({ name, edits }: Hole): () => void {
  const urls = edits.map(({ file }) => pathToFileURL(join(ROOT, file)).href);
  const made = new Set<string>();
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context);
      if (!urls.includes(url)) return loaded;
      let source = String(loaded.source);
      edits.forEach(({ find, replace }, i) => {
        if (urls[i] === url) source = edited(name, source, find, replace);
      });
      made.add(url);
      return { ...loaded, source };
    },
  });
  return () => {
    for (const url of urls) if (!made.has(url)) throw new Error(`${name}: ${url} was not loaded`);
  };
}

function edited(name: string, source: string, find: string, replace: string): string {
  const parts = source.split(find);
  if (parts.length !== 2)
    throw new Error(`hole ${name}: found ${parts.length - 1} times, not once: ${find}`);
  return parts.join(replace);
}
