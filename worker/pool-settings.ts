/** The counts among the Worker's settings (docs/operating.md). */
import { Problem } from "../shared/problem.ts";
import type { AdmissionLimits } from "./core/admission.ts";

const COUNTS = {
  RAILHEAD_RATE_PER_MINUTE: { usual: 60, least: 1 },
  RAILHEAD_QUEUE_LIMIT: { usual: 1_000, least: 1 },
  RAILHEAD_EXPECT_AGENTS: { usual: 0, least: 0 },
} as const;

type Name = keyof typeof COUNTS;
/** Absent in a deployment whose wrangler.toml is older than the setting. */
export type CountSettings = { readonly [name in Name]?: string };

/** What a pool admits. Throws Problem `not_ready` that names a malformed setting. */
export function admissionLimits(env: CountSettings): AdmissionLimits {
  return {
    ratePerMinute: count(env, "RAILHEAD_RATE_PER_MINUTE"),
    queueLimit: count(env, "RAILHEAD_QUEUE_LIMIT"),
  };
}

/** Agents without which the installation is not ready. Throws as `admissionLimits`. */
export function expectedAgents(env: CountSettings): number {
  return count(env, "RAILHEAD_EXPECT_AGENTS");
}

function count(env: CountSettings, name: Name): number {
  const { usual, least } = COUNTS[name];
  const text = env[name]?.trim() ?? "";
  if (text === "") return usual;
  if (/^\d{1,7}$/.test(text) && Number(text) >= least) return Number(text);
  throw new Problem(
    "not_ready",
    `The Worker is not set up: ${name} must be a whole number, ${least} or more. See docs/operating.md.`,
  );
}
