/** The counts among the Worker's settings (docs/operating.md). */
import { Problem } from "../shared/problem.ts";
import type { AdmissionLimits } from "./core/admission.ts";

const DEFAULTS = {
  RAILHEAD_RATE_PER_MINUTE: 60,
  RAILHEAD_QUEUE_LIMIT: 1_000,
  RAILHEAD_EXPECT_AGENTS: 0,
} as const;

type Name = keyof typeof DEFAULTS;
/** Absent in a deployment whose wrangler.toml is older than the setting. */
type Settings = { readonly [name in Name]?: string };

/** What a pool admits. Throws Problem `not_ready` that names a malformed setting. */
export function admissionLimits(env: Settings): AdmissionLimits {
  return {
    ratePerMinute: count(env, "RAILHEAD_RATE_PER_MINUTE"),
    queueLimit: count(env, "RAILHEAD_QUEUE_LIMIT"),
  };
}

/** Agents without which the installation is not ready. Throws as `admissionLimits`. */
export function expectedAgents(env: Settings): number {
  return count(env, "RAILHEAD_EXPECT_AGENTS");
}

function count(env: Settings, name: Name): number {
  const text = env[name]?.trim() ?? "";
  if (text === "") return DEFAULTS[name];
  if (/^\d{1,7}$/.test(text)) return Number(text);
  throw new Problem(
    "not_ready",
    `The Worker is not set up: ${name} must be a whole number. See docs/operating.md.`,
  );
}
