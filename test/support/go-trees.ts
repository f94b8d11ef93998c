/** One small repository, so that all builds share its caches: a tag, with a tree of its own, for each way that a build can go. */
import type { RepositoryFile } from "../../cli/dev/repository.ts";

const GO_MOD = "module git.example/ada/tool\n\ngo 1.21\n";

/** Imports nothing, so that it compiles in a second for any platform. */
function program(name: string): string {
  return `package main

var version, commit, date = "dev", "none", "never"

func main() { println("${name}", version, commit, date) }
`;
}

function makefile(recipe: string): RepositoryFile {
  return `all:\n${recipe
    .trim()
    .split("\n")
    .map((line) => `\t${line.trim()}\n`)
    .join("")}`;
}

type Files = Record<string, RepositoryFile>;

/** By tag. */
export const GO_TREES: Record<string, Files> = {
  plain: { "go.mod": GO_MOD, "main.go": program("plain") },
  commands: {
    "go.mod": GO_MOD,
    "tool.go": "package tool\n",
    "cmd/alpha/main.go": program("alpha"),
    "cmd/beta/main.go": program("beta"),
    "internal/gen/main.go": program("gen"),
  },
  scattered: {
    "go.mod": GO_MOD,
    "a/run/main.go": program("a-run"),
    "b/run/main.go": program("b-run"),
  },
  nomodule: { "main.go": program("nomodule") },
  gopath: {
    "main.go": 'package main\n\nimport "example.com/lib"\n\nfunc main() { println(lib.Word) }\n',
    "vendor/example.com/lib/lib.go": 'package lib\n\nconst Word = "from gopath vendor"\n',
  },
  vendored: {
    "go.mod": `${GO_MOD}\nrequire example.com/lib v1.0.0\n`,
    "main.go": 'package main\n\nimport "example.com/lib"\n\nfunc main() { println(lib.Word) }\n',
    "vendor/modules.txt": "# example.com/lib v1.0.0\n## explicit\nexample.com/lib\n",
    "vendor/example.com/lib/lib.go": 'package lib\n\nconst Word = "from vendor"\n',
  },
  made: {
    "go.mod": GO_MOD,
    "main.go": program("made"),
    ".gitignore": "dist/\n",
    "tracked.txt": "old\n",
    "touched.txt": "the same\n",
    Makefile: makefile(`
      @echo "for $$GOOS/$$GOARCH, cgo $$CGO_ENABLED, $$(git describe)"
      @echo "a warning" >&2
      go build -o dist/deep/made .
      echo new >tracked.txt
      touch touched.txt
      echo notes >notes.txt
    `),
  },
  target: {
    "go.mod": GO_MOD,
    "main.go": program("target"),
    GNUmakefile: "help:\n\t@echo help\nextra:\n\tgo build -o extra .\n",
    Makefile: "all:\n\tfalse\n",
  },
  help: { "go.mod": GO_MOD, "main.go": program("help"), Makefile: makefile("@echo usage") },
  hostonly: {
    "go.mod": GO_MOD,
    "main.go": program("hostonly"),
    Makefile: makefile("GOOS=linux GOARCH=386 go build -o bin/hostonly ."),
  },
  hostlibrary: {
    "go.mod": GO_MOD,
    "tool.go": "package tool\n",
    "hidden/main.go": program("hidden"),
    Makefile: makefile(`
      GOOS=linux GOARCH=386 go build -o bin/hidden ./hidden
      rm -r hidden
    `),
  },
  failing: {
    "go.mod": GO_MOD,
    "main.go": program("failing"),
    Makefile: makefile(`
      go build -o failing .
      @echo "the tests do not pass" >&2
      @exit 3
    `),
  },
  uncompilable: { "go.mod": GO_MOD, "main.go": "package main\n\nfunc main() { missing() }\n" },
  library: { "go.mod": GO_MOD, "tool.go": "package tool\n", "sub/sub.go": "package sub\n" },
  empty: { "README.md": "nothing here\n" },
  documents: { Makefile: makefile("echo hello >manual.txt") },
  nothing: { Makefile: makefile("@echo done"), "README.md": "nothing here\n" },
};
