/** The Docker engine and the builder images of every recipe, made ready by images/*.sh. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { CliError } from "../errors.ts";

/** Versions of Erlang/OTP that a stack's agents build for: the distribution has packages of them. */
const OTP_MAJORS = ["25", "27"] as const;

/** Said where we had to start the engine. */
export const ENGINE_STAYS =
  "The Docker engine did not run and was started; it stays. To stop it: sudo systemctl stop docker, or sudo kill $(cat /var/run/docker.pid).";

export type Images = {
  go: string;
  /** By OTP major. */
  erlang: Readonly<Record<string, string>>;
};

/** Makes sure that an engine answers; whether it had to be started. Throws CliError. */
export async function readyEngine(
  root: string,
  interrupt: AbortSignal,
): Promise<"running" | "started"> {
  const answer = await script(root, "engine.sh", [], interrupt);
  return answer === "started" ? "started" : "running";
}

/** Makes sure that the builder images are on the host; their references. Throws CliError. */
export async function readyImages(root: string, interrupt: AbortSignal): Promise<Images> {
  const prepare = (...args: string[]) => script(root, "prepare.sh", args, interrupt);
  const [go, ...erlang] = await Promise.all([
    prepare("go"),
    ...OTP_MAJORS.map((major) => prepare("erlang", major)),
  ]);
  return {
    go,
    erlang: Object.fromEntries(OTP_MAJORS.map((major, at) => [major, erlang[at] as string])),
  };
}

/** The agent's settings (agent/agent.example.toml) that name these images. */
export function imageSettings({ go, erlang }: Images): Record<string, string> {
  return {
    RAILHEAD_AGENT_IMAGES_GO: go,
    RAILHEAD_AGENT_IMAGES_ERLANG: Object.entries(erlang)
      .map(([major, reference]) => `${major}=${reference}`)
      .join(","),
  };
}

/** Runs a script with its messages on our stderr; the last line of its stdout. */
async function script(
  root: string,
  name: string,
  args: string[],
  interrupt: AbortSignal,
): Promise<string> {
  const child = spawn("bash", [join(root, "images", name), ...args], {
    stdio: ["ignore", "pipe", "inherit"],
    signal: interrupt,
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  const [output, code] = await Promise.all([text(child.stdout), ended]);
  const last = output.trimEnd().split("\n").at(-1) ?? "";
  if (code !== 0 || last === "")
    throw new CliError(`images/${name} failed: the lines above say why.`);
  return last;
}
