/**
 * Which platform an executable file is for, by its header: ELF, Mach-O (thin and universal), PE, wasm,
 * XCOFF and Plan 9. Makefiles that build for the host and exit 0 are common; this is how they are seen.
 */

/** Bytes from a file's start that `readHeader` wants: enough for program headers and a wasm import section. */
export const HEADER_BYTES = 64 * 1024;

export type Executable = {
  format: "ELF" | "Mach-O" | "PE" | "wasm" | "XCOFF" | "Plan 9";
  /** A program, or a library that only other programs load. */
  kind: "program" | "library";
  /** Every GOOS the header allows. One that it cannot tell from another is in the list. */
  goos: readonly string[];
  /** Every GOARCH in it: several only in a universal Mach-O file. */
  goarch: readonly string[];
};

/** What the first HEADER_BYTES of a file say; null when it is no executable (object files are none). */
export function readHeader(head: Buffer): Executable | null {
  if (head.length < 16) return null;
  const magic = head.readUInt32BE(0);
  if (magic === 0x7f454c46) return readElf(head);
  if (magic === 0x0061736d) return readWasm(head);
  if (magic === 0xcafebabe) return readUniversal(head);
  if (MACH_O_MAGICS.has(magic)) return readMachO(head);
  if (head.readUInt16BE(0) === 0x4d5a) return readPe(head);
  if (head.readUInt16BE(0) === 0x01f7)
    return { format: "XCOFF", kind: "program", goos: ["aix"], goarch: ["ppc64"] };
  const plan9 = PLAN9_MAGICS.get(magic);
  return plan9 ? { format: "Plan 9", kind: "program", goos: ["plan9"], goarch: [plan9] } : null;
}

/** Whether an executable runs on this platform. */
export function isFor(found: Executable, goos: string, goarch: string): boolean {
  return found.goos.includes(goos) && found.goarch.includes(goarch);
}

/** `linux/arm64`, `darwin/amd64+arm64`: for log lines and reasons. */
export function describe(found: Executable): string {
  return `${found.goos[0] ?? found.format}/${found.goarch.join("+") || "unknown"}`;
}

// ---- ELF ----------------------------------------------------------------------------------------

/** By `e_machine`, class (32 or 64 bit) and byte order. */
const ELF_MACHINES = new Map<string, string>([
  ["3/32/le", "386"],
  ["62/64/le", "amd64"],
  ["40/32/le", "arm"],
  ["183/64/le", "arm64"],
  ["258/64/le", "loong64"],
  ["8/32/be", "mips"],
  ["8/32/le", "mipsle"],
  ["8/64/be", "mips64"],
  ["8/64/le", "mips64le"],
  ["21/64/be", "ppc64"],
  ["21/64/le", "ppc64le"],
  ["243/64/le", "riscv64"],
  ["22/64/be", "s390x"],
]);

/** `EI_OSABI` where it names a system; 0 and 3 are what every other one uses. */
const ELF_OSABI = new Map([
  [2, ["netbsd"]],
  [6, ["solaris", "illumos"]],
  [9, ["freebsd"]],
  [12, ["openbsd"]],
]);

/** The dynamic loader tells what the ABI byte does not. */
const ELF_LOADERS: readonly [RegExp, readonly string[]][] = [
  [/^\/system\/bin\/linker/, ["android"]],
  [/^\/lib(?:32|64|x32)?\/ld-/, ["linux"]],
  [/^\/libexec\/ld-elf/, ["freebsd"]],
  [/^\/usr\/libexec\/ld-elf/, ["dragonfly"]],
  [/^(?:\/usr)?\/libexec\/ld\.elf_so/, ["netbsd"]],
  [/^\/usr\/libexec\/ld\.so/, ["openbsd"]],
  [/^(?:\/usr)?\/lib\/(?:amd64\/|64\/)?ld\.so\.1/, ["solaris", "illumos"]],
];

/** Systems whose static executables carry no mark of their own. Go's for android, solaris and illumos name a loader. */
const ELF_UNMARKED = ["linux", "dragonfly"];

const ET_EXEC = 2;
const ET_DYN = 3;
const PT_INTERP = 3;

function readElf(head: Buffer): Executable | null {
  if (head.length < 64) return null;
  const wide = head[4] === 2;
  const little = head[5] === 1;
  const u16 = (at: number) => (little ? head.readUInt16LE(at) : head.readUInt16BE(at));
  const type = u16(16);
  if (type !== ET_EXEC && type !== ET_DYN) return null;
  const entry = head.subarray(24, wide ? 32 : 28);
  const arch = ELF_MACHINES.get(`${u16(18)}/${wide ? 64 : 32}/${little ? "le" : "be"}`);
  const loader = elfLoader(head, wide, little);
  return {
    format: "ELF",
    kind: type === ET_EXEC || loader !== null || entry.some((b) => b !== 0) ? "program" : "library",
    goos:
      ELF_LOADERS.find(([pattern]) => loader !== null && pattern.test(loader))?.[1] ??
      ELF_OSABI.get(head[7] as number) ??
      ELF_UNMARKED,
    goarch: arch === undefined ? [] : [arch],
  };
}

/** The path in the PT_INTERP segment; null where there is none in the bytes we have. */
function elfLoader(head: Buffer, wide: boolean, little: boolean): string | null {
  const u16 = (at: number) => (little ? head.readUInt16LE(at) : head.readUInt16BE(at));
  const u32 = (at: number) => (little ? head.readUInt32LE(at) : head.readUInt32BE(at));
  const word = (at: number) => {
    if (!wide) return u32(at);
    return Number(little ? head.readBigUInt64LE(at) : head.readBigUInt64BE(at));
  };
  const table = word(wide ? 32 : 28);
  const size = u16(wide ? 54 : 42);
  const count = u16(wide ? 56 : 44);
  for (let i = 0; i < count; i++) {
    const at = table + i * size;
    if (size < 32 || at + size > head.length) return null;
    if (u32(at) !== PT_INTERP) continue;
    const from = word(at + (wide ? 8 : 4));
    const end = head.indexOf(0, from);
    return from < head.length && end !== -1 ? head.toString("latin1", from, end) : null;
  }
  return null;
}

// ---- Mach-O -------------------------------------------------------------------------------------

/** 32 and 64 bit, as written and byte-swapped. */
const MACH_O_MAGICS = new Set([0xfeedface, 0xfeedfacf, 0xcefaedfe, 0xcffaedfe]);
const MACH_O_CPUS = new Map([
  [0x7, "386"],
  [0x01000007, "amd64"],
  [0xc, "arm"],
  [0x0100000c, "arm64"],
]);
const MACH_O_EXECUTE = 2;
const MACH_O_LIBRARIES = [6, 8];
/** Parts of a universal file; the same magic with a larger number is a Java class. */
const UNIVERSAL_PARTS = 16;

function readMachO(head: Buffer): Executable | null {
  const little = head[3] === 0xfe;
  const u32 = (at: number) => (little ? head.readUInt32LE(at) : head.readUInt32BE(at));
  const type = u32(12);
  if (type !== MACH_O_EXECUTE && !MACH_O_LIBRARIES.includes(type)) return null;
  return machO(type === MACH_O_EXECUTE ? "program" : "library", [u32(4)]);
}

function readUniversal(head: Buffer): Executable | null {
  const parts = head.readUInt32BE(4);
  if (parts === 0 || parts > UNIVERSAL_PARTS || 8 + parts * 20 > head.length) return null;
  return machO(
    "program",
    Array.from({ length: parts }, (_, i) => head.readUInt32BE(8 + i * 20)),
  );
}

function machO(kind: Executable["kind"], cpus: number[]): Executable {
  const goarch = cpus.flatMap((cpu) => MACH_O_CPUS.get(cpu) ?? []);
  return { format: "Mach-O", kind, goos: ["darwin", "ios"], goarch };
}

// ---- PE, wasm, Plan 9 ---------------------------------------------------------------------------

const PE_MACHINES = new Map([
  [0x14c, "386"],
  [0x8664, "amd64"],
  [0xaa64, "arm64"],
]);
const PE_DLL = 0x2000;

function readPe(head: Buffer): Executable | null {
  if (head.length < 64) return null;
  const at = head.readUInt32LE(0x3c);
  if (at + 24 > head.length || head.readUInt32BE(at) !== 0x50450000) return null;
  const arch = PE_MACHINES.get(head.readUInt16LE(at + 4));
  return {
    format: "PE",
    kind: (head.readUInt16LE(at + 22) & PE_DLL) !== 0 ? "library" : "program",
    goos: ["windows"],
    goarch: arch === undefined ? [] : [arch],
  };
}

function readWasm(head: Buffer): Executable {
  // The modules it imports from are named near the start: WASI's own, or the JavaScript glue's.
  const wasi = head.includes("wasi_snapshot_preview1");
  return { format: "wasm", kind: "program", goos: [wasi ? "wasip1" : "js"], goarch: ["wasm"] };
}

const PLAN9_MAGICS = new Map([
  [0x000001eb, "386"],
  [0x00008a97, "amd64"],
  [0x00000647, "arm"],
]);
