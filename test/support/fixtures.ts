/**
 * One small Go repository, `ada/hello`, with a tag for each way a build can go. It is one repository so
 * that its builds share their caches, as the versions of a real one do.
 */
import { lstat, readdir, readFile, readlink } from "node:fs/promises";
import { join, relative } from "node:path";
import type { RepositoryCommit, RepositoryFile } from "../../cli/dev/repository.ts";

type Files = Record<string, RepositoryFile>;

/** File that a `held` build waits for in its container. */
export const RELEASE_FILE = "/tmp/release";
/** Lines that the `talkative` build prints. */
export const TALKATIVE_LINES = 20_000;

/** Prints what the linker was told; needs so little of the library that it compiles at once. */
function main(name: string): string {
  return `package main

import "os"

var version, commit, date = "dev", "none", "never"

func main() {
	os.Stdout.WriteString("${name} " + version + " " + commit + " " + date + "\\n")
}
`;
}

const GO_MOD = "module git.example/ada/hello\n\ngo 1.21\n";
const PROGRAM: Files = { "go.mod": GO_MOD, "main.go": main("hello") };
/** With the flags of the default way, so that both share their caches. */
const GO_BUILD = "go build -trimpath -buildvcs=false";

function withMakefile(...lines: string[]): Files {
  return { ...PROGRAM, Makefile: `${lines.join("\n")}\n` };
}

/** Prints lines until somebody creates RELEASE_FILE in the container: it runs as long as a test needs it. */
const HELD = withMakefile(
  "all:",
  '\t@echo "held: waiting"',
  `\t@n=0; while [ ! -e ${RELEASE_FILE} ]; do n=$$((n + 1)); echo "held: line $$n"; sleep 0.2; done`,
  '\t@echo "held: released"',
  `\t${GO_BUILD} -o held .`,
);
/** Ignores SIGTERM and never ends. */
const STUBBORN = withMakefile(
  "all:",
  '\t@trap "" TERM; echo "stubborn: running"; while :; do sleep 0.2; done',
);

/** Versions of a program without a makefile: annotated tags, a plain one, a pre-release, a branch ahead of all. */
const VERSIONS: RepositoryCommit[] = [
  { files: PROGRAM, tag: "v1.0.0", annotated: true },
  { files: { ...PROGRAM, one: "1" }, tag: "v1.1.0" },
  { files: { ...PROGRAM, two: "2" }, tag: "v1.2.0-rc.1", annotated: true },
  { files: { ...PROGRAM, three: "3" }, tag: "v2.0.0", annotated: true },
];

/** Trees by the tag of `hello` that holds them. */
export const LAYOUTS = {
  makefile: withMakefile(
    ".PHONY: tool extra",
    "tool:",
    '\t@echo "making for $$GOOS/$$GOARCH with CGO_ENABLED=$$CGO_ENABLED"',
    '\t@echo "a word of warning" >&2',
    `\t${GO_BUILD} -o out/tool .`,
    "extra:",
    `\t${GO_BUILD} -o extra-tool .`,
  ),
  /** No program at the root, two below cmd/. */
  commands: {
    "go.mod": GO_MOD,
    "greet.go": 'package greet\n\nfunc Word() string { return "hello" }\n',
    "cmd/alpha/main.go": main("alpha"),
    "cmd/beta/main.go": main("beta"),
  },
  /** Fails after it has made something. */
  broken: withMakefile(
    "all:",
    `\t${GO_BUILD} -o broken .`,
    '\t@echo "the tests do not pass" >&2',
    "\t@exit 3",
  ),
  uncompilable: { "go.mod": GO_MOD, "main.go": "package main\n\nfunc main() { missing() }\n" },
  /** What it makes is ignored by git, and lies in a folder that was not there. */
  ignored: {
    ...withMakefile(
      "all:",
      "\tmkdir -p dist",
      `\t${GO_BUILD} -o dist/ignored .`,
      "\tcp dist/ignored plain.out",
    ),
    ".gitignore": "dist/\n*.out\n",
  },
  library: { "go.mod": GO_MOD, "library.go": "package library\n\nconst Answer = 42\n" },
  /** Numbered lines, fast, so that a reader can prove that it missed none. */
  talkative: withMakefile(
    "all:",
    `\t@seq -f "line %g" 1 ${TALKATIVE_LINES}`,
    `\t${GO_BUILD} -o talkative .`,
  ),
  held: HELD,
  "held-2": HELD,
  "held-3": HELD,
  "held-4": HELD,
  stubborn: STUBBORN,
  "stubborn-2": STUBBORN,
} satisfies Record<string, Files>;

export const hello: RepositoryCommit[] = [
  ...VERSIONS,
  ...Object.entries(LAYOUTS).map(([tag, files]) => ({ files, tag, annotated: true })),
  { files: { ...PROGRAM, four: "4" }, branch: "next/big" },
];

/** The files below a folder, for sources that lie on disk. */
export async function folderFiles(folder: string): Promise<Files> {
  const files: Files = {};
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    const name = relative(folder, path);
    if (entry.isSymbolicLink()) files[name] = { link: await readlink(path) };
    if (!entry.isFile()) continue;
    const executable = ((await lstat(path)).mode & 0o100) !== 0;
    files[name] = executable ? { executable: await readFile(path, "utf8") } : await readFile(path);
  }
  return files;
}
