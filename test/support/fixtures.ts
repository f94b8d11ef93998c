/** Small Go repositories, one for each way a build can go. */
import { lstat, readdir, readFile, readlink } from "node:fs/promises";
import { join, relative } from "node:path";
import type { RepositoryCommit, RepositoryFile } from "../../cli/dev/repository.ts";

type Files = Record<string, RepositoryFile>;

/** Prints what the linker was told, and its arguments; needs so little of the library that it compiles at once. */
const MAIN = `package main

import "os"

var version, commit, date = "dev", "none", "never"

func main() {
	os.Stdout.WriteString("NAME " + version + " " + commit + " " + date + "\\n")
}
`;

export function main(name: string): string {
  return MAIN.replace("NAME", name);
}

function goMod(name: string): string {
  return `module git.example/ada/${name}\n\ngo 1.21\n`;
}

/** No makefile: the default way. */
export const hello: RepositoryCommit[] = [
  { files: { "go.mod": goMod("hello"), "main.go": main("hello") }, tag: "v1.0.0", annotated: true },
  { files: helloWith("// one"), tag: "v1.1.0" },
  { files: helloWith("// two"), tag: "v1.2.0-rc.1", annotated: true },
  { files: helloWith("// three"), tag: "v2.0.0", annotated: true },
  { files: helloWith("// four"), branch: "next/big" },
];

function helloWith(comment: string): Files {
  return { "go.mod": goMod("hello"), "main.go": `${main("hello")}${comment}\n` };
}

const MAKEFILE_FILES: Files = {
  "go.mod": goMod("makefile"),
  "main.go": main("makefile"),
  Makefile: `.PHONY: tool extra
tool:
\t@echo "making for $$GOOS/$$GOARCH with CGO_ENABLED=$$CGO_ENABLED"
\t@echo "a word of warning" >&2
\tgo build -o out/tool .
extra:
\tgo build -o extra-tool .
`,
};

/** A makefile of its own; two tags on the same tree. */
export const makefile: RepositoryCommit[] = [
  { files: MAKEFILE_FILES, tag: "v1.0.0", annotated: true },
];

/** No main package at the root, two below cmd/. */
export const commands: RepositoryCommit[] = [
  {
    files: {
      "go.mod": goMod("commands"),
      "greet.go": 'package greet\n\nfunc Word() string { return "hello" }\n',
      "cmd/alpha/main.go": main("alpha"),
      "cmd/beta/main.go": main("beta"),
    },
    tag: "v1.0.0",
    annotated: true,
  },
];

/** \`make\` says what is wrong and fails, after it has made something. */
export const broken: RepositoryCommit[] = [
  {
    files: {
      "go.mod": goMod("broken"),
      "main.go": main("broken"),
      Makefile:
        'all:\n\tgo build -o broken .\n\t@echo "the tests of broken do not pass" >&2\n\t@exit 3\n',
    },
    tag: "v1.0.0",
  },
];

export const uncompilable: RepositoryCommit[] = [
  {
    files: {
      "go.mod": goMod("uncompilable"),
      "main.go": "package main\n\nfunc main() { missing() }\n",
    },
    tag: "v1.0.0",
  },
];

/** What it makes is ignored by git, and lies in a folder that was not there. */
export const ignored: RepositoryCommit[] = [
  {
    files: {
      ".gitignore": "dist/\n*.out\n",
      "go.mod": goMod("ignored"),
      "main.go": main("ignored"),
      Makefile:
        "all:\n\tmkdir -p dist\n\tgo build -o dist/ignored .\n\tcp dist/ignored plain.out\n",
    },
    tag: "v1.0.0",
  },
];

export const library: RepositoryCommit[] = [
  {
    files: { "go.mod": goMod("library"), "library.go": "package library\n\nconst Answer = 42\n" },
    tag: "v1.0.0",
  },
];

/** File that \`released\` waits for in its build container. */
export const RELEASE_FILE = "/tmp/release";

/** Prints lines until somebody creates RELEASE_FILE in the container, then builds: a build that stays as long as a test needs it. */
export const held: RepositoryCommit[] = [
  {
    files: {
      "go.mod": goMod("held"),
      "main.go": main("held"),
      Makefile: `all:
\t@echo "held: waiting"
\t@n=0; while [ ! -e ${RELEASE_FILE} ]; do n=$$((n + 1)); echo "held: line $$n"; sleep 0.2; done
\t@echo "held: released"
\tgo build -o held .
`,
    },
    tag: "v1.0.0",
  },
];

/** Ignores SIGTERM and never ends. */
export const stubborn: RepositoryCommit[] = [
  {
    files: {
      "go.mod": goMod("stubborn"),
      "main.go": main("stubborn"),
      Makefile: 'all:\n\t@trap "" TERM; echo "stubborn: running"; while :; do sleep 0.2; done\n',
    },
    tag: "v1.0.0",
  },
];

/** Numbered lines, fast, so that a reader can prove that it missed none. */
export const talkative: RepositoryCommit[] = [
  {
    files: {
      "go.mod": goMod("talkative"),
      "main.go": main("talkative"),
      Makefile: 'all:\n\t@seq -f "line %g" 1 20000\n\tgo build -o talkative .\n',
    },
    tag: "v1.0.0",
  },
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
