import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { executableKind } from "./executable.ts";

test("an executable is named by its own header, and everything else is not", () => {
  const here = process.arch === "arm64" ? "arm64" : "amd64";
  assert.equal(executableKind(readFileSync(process.execPath)), `ELF executable for ${here}`);
  const windows = Buffer.alloc(128);
  windows.write("MZ");
  windows.writeUInt32LE(64, 60);
  windows.write("PE", 64);
  windows.writeUInt16LE(0xaa64, 68);
  assert.equal(executableKind(windows), "Windows executable for arm64");
  windows.writeUInt32LE(4_000_000_000, 60);
  for (const bytes of [windows, Buffer.alloc(0), Buffer.from("MZ"), Buffer.from("\u007fELF")])
    assert.match(executableKind(bytes), /no executable/);
});
