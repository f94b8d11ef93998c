/** `doctor`: what this host can and cannot do, and what to change. Findings are a pure function of what was seen. */
import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { nonceSchema } from "../shared/identity.ts";
import type { AgentSettings } from "./config.ts";
import type { DockerHost, HostFacts } from "./docker/contracts.ts";
import { call, edgeUrl } from "./edge.ts";
import { EdgeClock } from "./edge-clock.ts";
import { messageOf } from "./errors.ts";
import { fullDisk, wrongClock } from "./health.ts";
import type { Identity } from "./identity.ts";
import { clock } from "./machine.ts";
import { showSize } from "./sizes.ts";
import { within } from "./timing.ts";

export type Finding = {
  check: string;
  status: "ok" | "warn" | "fail";
  found: string;
  /** What to change; null when it is ok. */
  advice: string | null;
};

/** Milliseconds one look may take. */
const LOOK_MS = 10_000;
/** Milliseconds between two clocks above which log times mislead. */
const CLOCK_WARN_MS = 30_000;
/** The oldest engine that was tried. */
const OLDEST_ENGINE = 20;

/** `absent`: not there yet, but this user can make it. */
type FolderState = "writable" | "absent" | "closed";

export type Seen = {
  facts: HostFacts | { error: string };
  images: { image: string; id: string | null }[];
  identity: { ok: Identity } | { error: string };
  edge: { clock_ahead_ms: number | null } | { error: string } | null;
  home: { folder: string; state: FolderState };
};

/** Looks at the host and the edge. Never throws: what cannot be seen is a finding. */
export async function look(parts: {
  home: string;
  docker: DockerHost;
  images: string[];
  identity: { ok: Identity } | { error: string };
}): Promise<Seen> {
  const { home, docker, identity } = parts;
  const facts = await within(clock, docker.facts(), LOOK_MS, "no answer").catch(
    (error: unknown) => ({
      error: messageOf(error),
    }),
  );
  const images =
    "error" in facts
      ? []
      : await Promise.all(
          [...new Set(parts.images)].map(async (image) => ({
            image,
            id: await docker.imageId(image).catch(() => null),
          })),
        );
  const edge = "ok" in identity ? await lookAtEdge(identity.ok) : null;
  return {
    facts,
    images,
    identity,
    edge,
    home: { folder: home, state: await stateOf(resolve(home)) },
  };
}

async function stateOf(folder: string): Promise<FolderState> {
  try {
    await access(folder, constants.W_OK);
    return "writable";
  } catch (error) {
    const missing = error instanceof Error && "code" in error && error.code === "ENOENT";
    const above = dirname(folder);
    if (!missing || above === folder) return "closed";
    return (await stateOf(above)) === "closed" ? "closed" : "absent";
  }
}

export async function lookAtEdge({ url, agent }: Identity): Promise<NonNullable<Seen["edge"]>> {
  const asking = edgeUrl(url, "agent/nonce");
  asking.searchParams.set("agent", agent);
  const edgeClock = new EdgeClock(clock);
  const asked = clock.now();
  try {
    const { time_ms } = await call(asking, { timeout_ms: LOOK_MS }, nonceSchema);
    if (time_ms !== undefined) edgeClock.heard(time_ms, asked);
    return { clock_ahead_ms: edgeClock.ahead_ms };
  } catch (error) {
    return { error: messageOf(error) };
  }
}

export function diagnose(seen: Seen, settings: AgentSettings): Finding[] {
  return [
    ...identityFindings(seen),
    ...edgeFindings(seen),
    ...("error" in seen.facts
      ? [
          fail(
            "engine",
            seen.facts.error,
            `Start the Docker engine, and let this user read ${settings.docker_socket}.`,
          ),
        ]
      : [...hostFindings(seen.facts, settings), ...imageFindings(seen.facts, settings)]),
    ...("error" in seen.facts ? [] : appFindings(seen.facts, settings)),
    erlangFinding(settings),
    ...seen.images.map(({ image, id }) =>
      id
        ? ok(`image ${image}`, id.slice(0, 19))
        : warn(
            `image ${image}`,
            "not on this host",
            `It is pulled when the agent starts. By hand: docker pull ${image}`,
          ),
    ),
  ];
}

function identityFindings({ identity, home }: Seen): Finding[] {
  return [
    home.state === "closed"
      ? fail(
          "home",
          `${home.folder} cannot be written`,
          "Make the folder, owned by the agent's user, mode 0700.",
        )
      : ok(
          "home",
          home.state === "writable" ? home.folder : `${home.folder} will be made by register`,
        ),
    "ok" in identity
      ? ok("identity", `${identity.ok.name} (${identity.ok.agent})`)
      : fail("identity", identity.error, "Run `railhead agent register` on this host."),
  ];
}

function edgeFindings({ edge }: Seen): Finding[] {
  if (edge === null) return [];
  if ("error" in edge)
    return [
      fail(
        "edge",
        edge.error,
        "Check the address, DNS, that this host may call out to it, and that no proxy answers instead.",
      ),
    ];
  const answers = ok("edge", "answers");
  const ahead = edge.clock_ahead_ms;
  if (ahead === null) return [answers];
  const wrong = wrongClock(ahead);
  const off = `${Math.round(Math.abs(ahead) / 1_000)} s from the edge's`;
  if (wrong)
    return [answers, fail("clock", wrong, "Set it, and keep it by NTP: no work until then.")];
  return [
    answers,
    Math.abs(ahead) <= CLOCK_WARN_MS
      ? ok("clock", off)
      : warn("clock", off, "Builds work, but times in logs mislead: keep the clock by NTP."),
  ];
}

function hostFindings(facts: HostFacts, settings: AgentSettings): Finding[] {
  const major = Number.parseInt(facts.engine_version, 10);
  const { limits } = settings;
  const full = fullDisk(facts, settings.min_free_bytes);
  const free = facts.disk_free_bytes;
  return [
    major >= OLDEST_ENGINE
      ? ok("engine", facts.engine_version)
      : warn("engine", facts.engine_version, `Use Docker ${OLDEST_ENGINE}.10 or newer.`),
    full
      ? fail("disk", full, "Make room (docker system prune), or lower disk.min_free.")
      : free === null
        ? warn(
            "disk",
            `${facts.data_root} cannot be seen`,
            "Run the agent where it can see the engine's disk, or watch it yourself.",
          )
        : ok("disk", `${showSize(free)} free at ${facts.data_root}`),
    limits.memory_bytes * Math.max(1, settings.capacity) <= facts.memory_bytes
      ? ok(
          "memory",
          `${showSize(facts.memory_bytes)} for ${settings.capacity} at once, each up to ${showSize(limits.memory_bytes)}`,
        )
      : warn(
          "memory",
          `${showSize(facts.memory_bytes)} for ${settings.capacity} at once, each up to ${showSize(limits.memory_bytes)}`,
          "Lower capacity or limits.memory, or builds may be killed for memory that others use.",
        ),
    limits.cpus <= facts.cpus
      ? ok("cpus", `${facts.cpus}`)
      : warn(
          "cpus",
          `${facts.cpus}, but limits.cpus is ${limits.cpus}`,
          "Builds get what there is; lower limits.cpus.",
        ),
    facts.seccomp
      ? ok("seccomp", "on")
      : fail(
          "seccomp",
          "off",
          "Run the engine with its default seccomp profile: untrusted code runs here.",
        ),
    facts.cgroup_version === "2"
      ? ok("cgroups", "v2")
      : warn(
          "cgroups",
          `v${facts.cgroup_version}`,
          "Limits hold; cgroup v2 tells out-of-memory more exactly.",
        ),
    facts.userns
      ? ok("userns", "on")
      : warn(
          "userns",
          "off",
          'Builds run as a user without rights; "userns-remap" in daemon.json is one wall more.',
        ),
    facts.live_restore
      ? ok("live-restore", "on")
      : warn(
          "live-restore",
          "off",
          'Set "live-restore": true in daemon.json, or a restart of the engine ends running builds.',
        ),
    facts.firewall
      ? ok("firewall", "builds reach the internet, but no private address")
      : warn(
          "firewall",
          "cannot be set",
          "Run the agent as root with iptables: until then containers get no network, and public repositories cannot be fetched.",
        ),
    facts.quota
      ? ok("quota", "volumes have a hard limit")
      : warn(
          "quota",
          "none",
          "A watcher kills builds over limits.disk. For a hard limit: root, loop devices and mkfs.ext4.",
        ),
  ];
}

/** What does not hold for RUN steps of image builds. */
function imageFindings(facts: HostFacts, { image }: AgentSettings): Finding[] {
  if (!image.enabled) return [];
  if (image.builder === "classic")
    return facts.cgroup_driver === "systemd"
      ? [
          warn(
            "image steps",
            "no limit of processes",
            'systemd makes the cgroups. For a limit: "exec-opts": ["native.cgroupdriver=cgroupfs"] in daemon.json.',
          ),
        ]
      : [];
  if (Number.parseInt(facts.engine_version, 10) < OLDEST_ENGINE)
    return [
      fail(
        "buildkit",
        `${facts.engine_version} was never tried with it`,
        `Use Docker ${OLDEST_ENGINE}.10 or newer, or set image.builder to "classic".`,
      ),
    ];
  const network = image.buildkit_network === "none" ? "none" : "the engine's, with this host on it";
  return [
    warn(
      "buildkit",
      `RUN steps have no limit of memory, cores, processes and disk; network: ${network}`,
      'Let only those post images here whom you trust, or set image.builder to "classic".',
    ),
  ];
}

function appFindings({ firewall }: HostFacts, { app }: AgentSettings): Finding[] {
  if (!app.enabled) return [];
  const where = app.network ?? "the agent's own network";
  const joined = app.traefik_network === null ? "" : `, and ${app.traefik_network}`;
  if (app.network !== null || firewall) return [ok("web apps", `on ${where}${joined}`)];
  return [
    warn(
      "web apps",
      "cannot run: no firewall keeps them from this host and its network",
      "Run the agent as root with iptables; or make a network for them and name it (app.network); or set app.enabled to false.",
    ),
  ];
}

function erlangFinding({ images }: AgentSettings): Finding {
  const majors = Object.keys(images.erlang);
  return ok(
    "erlang",
    majors.length > 0 ? `OTP ${majors.join(", ")}` : "not served: images.erlang names no image",
  );
}

function ok(check: string, found: string): Finding {
  return { check, status: "ok", found, advice: null };
}

function warn(check: string, found: string, advice: string): Finding {
  return { check, status: "warn", found, advice };
}

function fail(check: string, found: string, advice: string): Finding {
  return { check, status: "fail", found, advice };
}

/** For people: one line a finding, with what to change below it. */
export function showFindings(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ check }) => check.length));
  return findings
    .map(({ check, status, found, advice }) => {
      const line = `${status.padEnd(4)}  ${check.padEnd(width)}  ${found}`;
      return advice ? `${line}\n${" ".repeat(width + 8)}${advice}` : line;
    })
    .join("\n");
}
