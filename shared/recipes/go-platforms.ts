/** GOOS/GOARCH pairs, as `go tool dist list` of Go 1.24 prints them. */
const PLATFORMS: Record<string, readonly string[]> = {
  aix: ["ppc64"],
  android: ["386", "amd64", "arm", "arm64"],
  darwin: ["amd64", "arm64"],
  dragonfly: ["amd64"],
  freebsd: ["386", "amd64", "arm", "arm64", "riscv64"],
  illumos: ["amd64"],
  ios: ["amd64", "arm64"],
  js: ["wasm"],
  linux: [
    "386",
    "amd64",
    "arm",
    "arm64",
    "loong64",
    "mips",
    "mips64",
    "mips64le",
    "mipsle",
    "ppc64",
    "ppc64le",
    "riscv64",
    "s390x",
  ],
  netbsd: ["386", "amd64", "arm", "arm64"],
  openbsd: ["386", "amd64", "arm", "arm64", "ppc64", "riscv64"],
  plan9: ["386", "amd64", "arm"],
  solaris: ["amd64"],
  wasip1: ["wasm"],
  windows: ["386", "amd64", "arm64"],
};

export const GO_PLATFORMS: readonly string[] = Object.entries(PLATFORMS).flatMap(([goos, archs]) =>
  archs.map((goarch) => `${goos}/${goarch}`),
);

export function isGoPlatform(goos: string, goarch: string): boolean {
  return Object.hasOwn(PLATFORMS, goos) && (PLATFORMS[goos] ?? []).includes(goarch);
}
