import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type Executable, isFor, describe as name, readHeader } from "./go-header.ts";

type Elf = {
  machine: number;
  wide?: boolean;
  big?: boolean;
  osabi?: number;
  type?: number;
  entry?: number;
  loader?: string;
};

/** An ELF header with, where a loader is named, one PT_INTERP segment. */
function elf({
  machine,
  wide = true,
  big = false,
  osabi = 0,
  type = 2,
  entry = 0x401000,
  loader,
}: Elf): Buffer {
  const head = Buffer.alloc(4096);
  head.set([0x7f, 0x45, 0x4c, 0x46, wide ? 2 : 1, big ? 2 : 1, 1, osabi]);
  const u16 = (v: number, at: number) =>
    big ? head.writeUInt16BE(v, at) : head.writeUInt16LE(v, at);
  const word = (v: number, at: number) => {
    if (!wide) return big ? head.writeUInt32BE(v, at) : head.writeUInt32LE(v, at);
    return big ? head.writeBigUInt64BE(BigInt(v), at) : head.writeBigUInt64LE(BigInt(v), at);
  };
  u16(type, 16);
  u16(machine, 18);
  word(entry, 24);
  if (loader === undefined) return head;
  const table = wide ? 64 : 52;
  word(table, wide ? 32 : 28);
  u16(wide ? 56 : 32, wide ? 54 : 42);
  u16(1, wide ? 56 : 44);
  head[table + (big ? 3 : 0)] = 3;
  word(4000, table + (wide ? 8 : 4));
  head.write(`${loader}\0`, 4000, "latin1");
  return head;
}

function machO(cpu: number, type = 2): Buffer {
  const head = Buffer.alloc(4096);
  head.writeUInt32LE(0xfeedfacf, 0);
  head.writeUInt32LE(cpu, 4);
  head.writeUInt32LE(type, 12);
  return head;
}

function universal(cpus: number[]): Buffer {
  const head = Buffer.alloc(4096);
  head.writeUInt32BE(0xcafebabe, 0);
  head.writeUInt32BE(cpus.length, 4);
  for (const [i, cpu] of cpus.entries()) head.writeUInt32BE(cpu, 8 + i * 20);
  return head;
}

function pe(machine: number, characteristics = 0x22): Buffer {
  const head = Buffer.alloc(4096);
  head.write("MZ", 0, "latin1");
  head.writeUInt32LE(0x80, 0x3c);
  head.write("PE\0\0", 0x80, "latin1");
  head.writeUInt16LE(machine, 0x84);
  head.writeUInt16LE(characteristics, 0x96);
  return head;
}

function wasm(imports: string): Buffer {
  return Buffer.concat([
    Buffer.from("0061736d01000000", "hex"),
    Buffer.alloc(200),
    Buffer.from(imports),
  ]);
}

function read(head: Buffer): Executable {
  const found = readHeader(head);
  assert.ok(found);
  return found;
}

/** What Go 1.24 writes, as seen in its files. */
const MADE_BY_GO: [string, Buffer][] = [
  ["aix/ppc64", Buffer.from("01f70004000000000000000000000000", "hex")],
  ["android/arm64", elf({ machine: 183, type: 3, loader: "/system/bin/linker64" })],
  ["darwin/amd64", machO(0x01000007)],
  ["darwin/arm64", machO(0x0100000c)],
  ["freebsd/386", elf({ machine: 3, wide: false, osabi: 9 })],
  ["freebsd/amd64", elf({ machine: 62, osabi: 9 })],
  ["freebsd/riscv64", elf({ machine: 243, osabi: 9 })],
  ["illumos/amd64", elf({ machine: 62, loader: "/lib/amd64/ld.so.1" })],
  ["js/wasm", wasm("gojs")],
  ["linux/386", elf({ machine: 3, wide: false })],
  ["linux/amd64", elf({ machine: 62 })],
  ["linux/arm", elf({ machine: 40, wide: false })],
  ["linux/arm64", elf({ machine: 183 })],
  ["linux/loong64", elf({ machine: 258 })],
  ["linux/mips", elf({ machine: 8, wide: false, big: true })],
  ["linux/mipsle", elf({ machine: 8, wide: false })],
  ["linux/mips64", elf({ machine: 8, big: true })],
  ["linux/mips64le", elf({ machine: 8 })],
  ["linux/ppc64", elf({ machine: 21, big: true })],
  ["linux/ppc64le", elf({ machine: 21 })],
  ["linux/riscv64", elf({ machine: 243 })],
  ["linux/s390x", elf({ machine: 22, big: true })],
  ["netbsd/amd64", elf({ machine: 62, osabi: 2 })],
  ["openbsd/arm64", elf({ machine: 183, osabi: 12, loader: "/usr/libexec/ld.so" })],
  ["plan9/386", Buffer.from("000001eb000d8ce80000000000000000", "hex")],
  ["plan9/amd64", Buffer.from("00008a97000e40580000000000000000", "hex")],
  ["plan9/arm", Buffer.from("00000647000da6540000000000000000", "hex")],
  ["wasip1/wasm", wasm("wasi_snapshot_preview1")],
  ["windows/386", pe(0x14c)],
  ["windows/amd64", pe(0x8664)],
  ["windows/arm64", pe(0xaa64)],
];

describe("an executable is known by its header", () => {
  test("what Go makes for a platform is for that platform", () => {
    for (const [platform, head] of MADE_BY_GO) {
      const [goos = "", goarch = ""] = platform.split("/");
      assert.ok(isFor(read(head), goos, goarch), platform);
    }
  });

  test("and for no other one", () => {
    const twins = new Set(["illumos/amd64", "darwin/amd64", "darwin/arm64"]);
    for (const [platform, head] of MADE_BY_GO)
      for (const [other] of MADE_BY_GO) {
        if (other === platform || twins.has(other)) continue;
        const [goos = "", goarch = ""] = other.split("/");
        assert.equal(isFor(read(head), goos, goarch), false, `${platform} as ${other}`);
      }
  });

  test("a static ELF file may be for linux or dragonfly, which its header cannot tell apart", () => {
    const found = read(elf({ machine: 62 }));
    assert.ok(isFor(found, "linux", "amd64") && isFor(found, "dragonfly", "amd64"));
    const dynamic = read(elf({ machine: 62, loader: "/lib64/ld-linux-x86-64.so.2" }));
    assert.equal(isFor(dynamic, "dragonfly", "amd64"), false);
  });

  test("a universal Mach-O file is for each of its architectures", () => {
    const found = read(universal([0x01000007, 0x0100000c]));
    assert.ok(isFor(found, "darwin", "amd64") && isFor(found, "darwin", "arm64"));
    assert.equal(name(found), "darwin/amd64+arm64");
  });

  test("libraries are told from programs", () => {
    assert.equal(read(elf({ machine: 62, type: 3, entry: 0 })).kind, "library");
    assert.equal(read(elf({ machine: 62, type: 3 })).kind, "program");
    assert.equal(read(machO(0x01000007, 6)).kind, "library");
    assert.equal(read(pe(0x8664, 0x2022)).kind, "library");
  });

  test("object files, Java classes, scripts and broken headers are no executables", () => {
    for (const head of [
      elf({ machine: 62, type: 1 }),
      machO(0x01000007, 1),
      Buffer.from("cafebabe000000340000000000000000", "hex"),
      Buffer.from("#!/bin/sh\necho hello\n"),
      Buffer.from("MZ and then nothing of the kind, as a text file may begin as well"),
      Buffer.from("7f454c46", "hex"),
      Buffer.alloc(0),
    ])
      assert.equal(readHeader(head), null);
  });

  test("offsets that point outside what was read do no harm", () => {
    const far = elf({ machine: 62, loader: "/lib64/ld-linux-x86-64.so.2" });
    far.writeBigUInt64LE(2n ** 63n, 32);
    assert.equal(read(far).format, "ELF");
    const dos = pe(0x8664);
    dos.writeUInt32LE(0xfffffff0, 0x3c);
    assert.equal(readHeader(dos), null);
  });
});
