/** The compiled standard library, which every Go program needs: made by our own container, from the builder image alone. */

import type { IdleContext } from "./contracts.ts";
import { STANDARD, STANDARD_SCRIPT } from "./go-scripts.ts";

/** What a standard library is compiled for. */
export type Standard = {
  /** Id of the builder image. */
  image: string;
  goos: string;
  goarch: string;
  /** With `-trimpath`, which makes other packages: the default way's. Makefiles mostly go without. */
  trimpath: boolean;
};

const PHASE = "standard";
/** Milliseconds that it may take. */
const COMPILE_MS = 10 * 60_000;

/**
 * Compiles `packages` into `volume`, going on where an earlier call was aborted.
 * @returns whether it is complete
 */
export async function compileStandard(
  { owner, docker, limits, signal }: IdleContext,
  volume: string,
  { image, goos, goarch, trimpath }: Standard,
  packages: readonly string[],
): Promise<boolean> {
  await (await docker.adopt(owner, PHASE))?.remove();
  if (signal.aborted) return false;
  const handle = await docker.create({
    owner,
    phase: PHASE,
    image,
    command: [
      ...["sh", "-c", STANDARD_SCRIPT, "sh"],
      ...(trimpath ? ["-trimpath"] : []),
      ...packages,
    ],
    env: {
      HOME: "/tmp",
      GOTMPDIR: STANDARD,
      GOTOOLCHAIN: "local",
      GOOS: goos,
      GOARCH: goarch,
      CGO_ENABLED: "0",
    },
    working_dir: "/",
    mounts: [{ volume, target: STANDARD, read_only: false }],
    network: { kind: "none" },
    limits,
    deadline_ms: COMPILE_MS,
    stdin: null,
  });
  const stop = () => void handle.kill("cancel", 0).catch(() => {});
  signal.addEventListener("abort", stop, { once: true });
  try {
    await handle.start();
    if (signal.aborted) stop();
    for await (const _ of handle.output());
    return (await handle.wait()).code === 0;
  } finally {
    signal.removeEventListener("abort", stop);
    await handle.remove();
  }
}
