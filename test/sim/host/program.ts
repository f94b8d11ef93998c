/** What the program in a container does: seeded, so that who reads its log can tell whose lines it holds. */
import type { RunSpec } from "../../../agent/docker/contracts.ts";
import type { SeededRandom } from "../random.ts";

/** Bytes written at once, `after_ms` after those before. */
export type Step = { after_ms: number; stream: "stdout" | "stderr"; data: Buffer };

export type Program = {
  steps: Step[];
  /** Milliseconds from the last step to the end; Infinity when it never ends by itself. */
  rest_ms: number;
  end: { code: number; oom: boolean };
  /** Goes over the volume's limit with its last step. */
  outgrows: boolean;
  /** Milliseconds from SIGTERM to the end; Infinity when it does not care. */
  dies_in_ms: number;
};

const STREAMS = ["stdout", "stderr"] as const;
/** Lines that a program prints at most, but for a burst. */
const LINES = 14;
/** Lines of a burst: more than the small log caps of the simulation keep. */
const BURST_LINES = 60;
/** Characters of a line that is cut into several entries. */
const LONG_LINE = 17_000;
/** Milliseconds between two steps: mostly short, now and then a compiler that thinks. */
const STEP_MS = 2_000;
const THINKING_MS = 20_000;
/** How much longer a slow program takes: some outlast an agent's lease. */
const SLOW = 8;

/** One line of a program, as every reader of the log should see it again. */
export function lineOf(
  { build, attempt }: { build: string; attempt: number },
  phase: string,
  stream: string,
  k: number,
): string {
  return `${build}/${attempt}/${phase}/${stream}/${k}`;
}

export function programOf(spec: RunSpec, random: SeededRandom): Program {
  const lines = random.chance(0.05) ? BURST_LINES : random.below(LINES) + 1;
  const steps = spec.phase === "fetch" ? fetching(spec, random) : printing(spec, random, lines);
  if (random.chance(0.1)) for (const step of steps) step.after_ms *= SLOW;
  const fate = random.fraction();
  return {
    steps,
    rest_ms: spec.phase !== "fetch" && fate > 0.96 ? Infinity : random.between(0, STEP_MS),
    end: endOf(spec.phase, fate),
    outgrows: spec.phase !== "fetch" && fate > 0.14 && fate < 0.16,
    dies_in_ms: random.chance(0.3) ? Infinity : random.between(0, 2_000),
  };
}

function endOf(phase: string, fate: number): Program["end"] {
  if (phase === "fetch") return { code: fate < 0.03 ? 1 : 0, oom: false };
  if (fate < 0.1) return { code: 1, oom: false };
  if (fate < 0.13) return { code: 137, oom: true };
  // Something in it was killed for memory, and the build went on and succeeded.
  return { code: 0, oom: fate < 0.14 };
}

/** A git that shows its credential, in the forms in which programs do. */
function fetching(spec: RunSpec, random: SeededRandom): Step[] {
  const steps = printing(spec, random, 2);
  const [credential] = (spec.stdin ?? "").split("\n");
  if (credential === undefined || credential === "") return steps;
  const secret = credential.slice(credential.indexOf(" ") + 1);
  const stream = random.pick(STREAMS);
  const shown = Buffer.from(
    `using ${random.pick([credential, secret, Buffer.from(secret).toString("base64"), encodeURIComponent(secret)])}\n`,
  );
  const cut = random.below(shown.length);
  for (const data of [shown.subarray(0, cut), shown.subarray(cut)])
    if (data.length > 0) steps.push({ after_ms: random.between(0, STEP_MS), stream, data });
  return steps;
}

function printing(spec: RunSpec, random: SeededRandom, lines: number): Step[] {
  const steps: Step[] = [];
  const count = { stdout: 0, stderr: 0 };
  for (let left = lines; left > 0; ) {
    const stream = random.pick(STREAMS);
    const together = Math.min(left, random.chance(0.3) ? 1 + random.below(8) : 1);
    left -= together;
    let text = "";
    for (let i = 0; i < together; i++) {
      text += lineOf(spec.owner, spec.phase, stream, ++count[stream]);
      if (random.chance(0.004)) text += ` ${"x".repeat(LONG_LINE)}`;
      text += "\n";
    }
    // The last line may lack its end, and any write may stop in the middle of a line.
    if (left === 0 && random.chance(0.2)) text = text.slice(0, -1);
    const data = Buffer.from(text);
    const cut = random.chance(0.2) ? random.below(data.length) : 0;
    for (const part of [data.subarray(0, cut), data.subarray(cut)])
      if (part.length > 0) steps.push({ after_ms: pauseOf(random), stream, data: part });
  }
  return steps;
}

function pauseOf(random: SeededRandom): number {
  return random.chance(0.05) ? random.between(0, THINKING_MS) : random.between(0, STEP_MS);
}
