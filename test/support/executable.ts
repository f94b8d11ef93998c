/** What an executable's header says it runs on: read here from the formats, not from the product. */

const ELF_MACHINES: Record<number, string> = {
  62: "amd64",
  183: "arm64",
  3: "386",
  243: "riscv64",
};
const ELF_FREEBSD = 9;
const MACHO_CPUS: Record<number, string> = { 16777223: "amd64", 16777228: "arm64" };
const PE_MACHINES: Record<number, string> = { 34404: "amd64", 43620: "arm64", 332: "386" };

/** `GOOS/GOARCH` of an ELF, Mach-O, PE or wasm file; `unknown` for anything else. */
export function platformOf(file: Buffer): string {
  if (file.subarray(0, 4).toString("latin1") === "\x7fELF")
    return `${file[7] === ELF_FREEBSD ? "freebsd" : "linux"}/${ELF_MACHINES[file.readUInt16LE(18)] ?? "?"}`;
  if (file.readUInt32LE(0) === 0xfeedfacf)
    return `darwin/${MACHO_CPUS[file.readUInt32LE(4)] ?? "?"}`;
  if (file.subarray(0, 4).toString("latin1") === "\0asm") return "js/wasm";
  if (file.subarray(0, 2).toString("latin1") === "MZ") {
    const header = file.readUInt32LE(0x3c);
    return `windows/${PE_MACHINES[file.readUInt16LE(header + 4)] ?? "?"}`;
  }
  return "unknown";
}
