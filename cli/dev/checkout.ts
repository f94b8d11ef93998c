import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { CliError } from "../errors.ts";

/** The checkout that this program is of, whether it runs from source or as a bundle in dist/. Throws CliError. */
export function findCheckout(): string {
  for (let folder = import.meta.dirname; folder !== dirname(folder); folder = dirname(folder))
    if (existsSync(join(folder, "wrangler.toml"))) return folder;
  throw new CliError("This needs a whole checkout of Railhead: clone it, and run npm start there.");
}
