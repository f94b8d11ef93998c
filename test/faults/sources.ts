/** What the builds of the suite are made of. */
import type { RepositoryFile } from "../../cli/dev/repository.ts";
import { LAYOUTS } from "../support/fixtures.ts";

/** Files of a repository by path. */
export type Tree = Record<string, RepositoryFile>;

/** Bytes that no compression makes smaller, so that the archive goes up in three parts. */
const LARGE_BYTES = 40 * 2 ** 20;

const SCRIPTED = (script: string): Tree => ({
  ...LAYOUTS.held,
  Makefile: `all:\n${script
    .trim()
    .split("\n")
    .map((line) => `\t${line.trim()}\n`)
    .join("")}`,
});

export const SOURCES = {
  /** Prints numbered lines until it is released. */
  held: LAYOUTS.held,
  /** Ends by itself at once. */
  prompt: SCRIPTED(`
    @seq -f "held: line %g" 1 5
    go build -trimpath -buildvcs=false -o prompt .
  `),
  /** Makes a file of several parts. */
  large: SCRIPTED(`
    @seq -f "held: line %g" 1 5
    go build -trimpath -buildvcs=false -o large .
    head -c ${LARGE_BYTES} /dev/urandom >>large
  `),
  /** Prints for some seconds, faster than anybody reads. */
  talkative: SCRIPTED(`
    @for i in $$(seq 0 99); do seq -f "talk: line %g" $$((i * 200 + 1)) $$((i * 200 + 200)); sleep 0.1; done
    go build -trimpath -buildvcs=false -o talkative .
  `),
  /** Prints a hundred lines in half a minute, and needs nobody to end. */
  slow: SCRIPTED(`
    @for i in $$(seq 1 100); do echo "slow: line $$i"; sleep 0.3; done
    go build -trimpath -buildvcs=false -o slow .
  `),
  /** Says nothing for longer than objects stay in memory without an event (ten seconds on workerd). */
  quiet: SCRIPTED(`
    @echo "quiet: line 1"; sleep 15; echo "quiet: line 2"; sleep 15; echo "quiet: line 3"
    go build -trimpath -buildvcs=false -o quiet .
  `),
  /** Asks for more memory than it may have. */
  hungry: SCRIPTED(`
    @echo "hungry: eating"
    @head -c 8G /dev/zero | tail
  `),
} satisfies Record<string, Tree>;
export type SourceName = keyof typeof SOURCES;
