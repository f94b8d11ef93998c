/** What the first bytes of an executable say of it, in the words of file(1). */

const ELF_MACHINES: Record<number, string> = {
  3: "386",
  40: "arm",
  62: "amd64",
  183: "arm64",
  243: "riscv64",
};
const PE_MACHINES: Record<number, string> = { 332: "386", 34404: "amd64", 43620: "arm64" };

/** `ELF executable for arm64`, `Windows executable for arm64`, or what little is known. */
export function executableKind(bytes: Buffer): string {
  if (bytes.length > 64 && bytes.subarray(0, 4).toString("latin1") === "\u007fELF") {
    const machine = bytes[5] === 2 ? bytes.readUInt16BE(18) : bytes.readUInt16LE(18);
    return `ELF executable for ${ELF_MACHINES[machine] ?? `machine ${machine}`}`;
  }
  if (bytes.length > 64 && bytes.subarray(0, 2).toString("latin1") === "MZ") {
    const header = bytes.readUInt32LE(60);
    if (header + 6 <= bytes.length && bytes.toString("latin1", header, header + 2) === "PE") {
      const machine = bytes.readUInt16LE(header + 4);
      return `Windows executable for ${PE_MACHINES[machine] ?? `machine ${machine}`}`;
    }
  }
  return "no executable of a kind known here";
}
