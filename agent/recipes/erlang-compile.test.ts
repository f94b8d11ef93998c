import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, test } from "node:test";
import { type Application, buildScript } from "./erlang-compile.ts";
import type { FetchedPackage, PackageConfig } from "./erlang-contracts.ts";

const NASTY = "a'; touch /tmp/x #$(id)`id`\n\"\\ -";

function config(over: Partial<PackageConfig> = {}): PackageConfig {
  return {
    file: "coonfig.json",
    members: {},
    name: null,
    app_vsn: null,
    erlang: [],
    with_source: true,
    prebuild: [],
    parse_transforms: [],
    deps: [],
    ...over,
  };
}

function script(settings: PackageConfig): string {
  const fetched: FetchedPackage & { system: "native" } = {
    folder: "/build/src/x",
    time: 0,
    system: "native",
    config: settings,
    dependencies: [],
    wants: [],
  };
  const application: Application = {
    name: "x",
    folder: fetched.folder,
    system: "native",
    config: settings,
    version: "1",
    about: {},
  };
  return buildScript(fetched, application, { name: "x" });
}

/** What a shell makes of the calls in the script, one JSON-like word list a line: the functions only show themselves. */
function calls(settings: PackageConfig): string[][] {
  const shown = ["begin", "prebuild", "nif", "native", "stage"];
  const lines = script(settings).split("\nproject=")[1] ?? "";
  const stubs = shown.map((name) => `${name}() { printf '%s\\0' ${name} "$@"; printf '\\1'; }`);
  const { stdout } = spawnSync("sh", ["-c", `${stubs.join("\n")}\nproject=${lines}`], {
    encoding: "utf8",
  });
  return stdout
    .split("\u0001")
    .filter(Boolean)
    .map((call) => call.split("\0").slice(0, -1));
}

describe("the script of a native compile", () => {
  test("hands the repository's own words on as words, whatever is in them", () => {
    const steps = calls(
      config({
        app_vsn: NASTY,
        prebuild: [{ shell: NASTY, params: [NASTY] }],
        parse_transforms: [NASTY],
        members: { build_vars: [NASTY, { A: NASTY }], c_build_vars: [{ CFLAGS: NASTY }] },
      }),
    );
    assert.deepEqual(steps, [
      ["begin", "x", "native", "/build/src/x"],
      ["prebuild", "1", NASTY, NASTY],
      ["nif", "x", `CFLAGS=${NASTY}`],
      [
        ...["native", "x", "1", "--vsn", NASTY, "--first", NASTY],
        ...["--define", NASTY, "--define", `A=${NASTY}`],
      ],
      ["stage", "coon_locks.json", "ebin", "priv", "src", "include", "c_src"],
    ]);
  });

  test("leaves out the prebuild steps when they are disabled, and the sources when they are not wanted", () => {
    const steps = calls(
      config({
        file: "enot_config.json",
        with_source: false,
        prebuild: [{ shell: "no", params: [] }],
        members: { disable_prebuild: true, build_vars: "no list", c_build_vars: [{ "A B": "c" }] },
      }),
    );
    assert.deepEqual(steps.slice(1), [
      ["nif", "x"],
      ["native", "x", "1"],
      ["stage", "enot_locks.json", "ebin", "priv"],
    ]);
  });

  test("is refused when no command line could hold it", () => {
    const prebuild = [{ shell: "x".repeat(200_000), params: [] }];
    assert.throws(() => script(config({ prebuild })), { class: "config_error" });
  });
});
