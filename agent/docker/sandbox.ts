/**
 * From a RunSpec to the body of the engine's create call (DESIGN.md rule 6): pure, so that a test can name every
 * member. Nothing here is optional and nothing can be switched off by who asks for a build.
 */
import type { RunSpec } from "./contracts.ts";
import type { ContainerBody, MountBody } from "./engine.ts";
import { hardened } from "./hardening.ts";
import { KEPT_FILE_BYTES, KEPT_FILES } from "./kept.ts";
import { LABEL, ownerLabels } from "./labels.ts";

/** Uid and gid that repository code runs as: no user of the host, and the owner of the workspace. */
export const BUILDER_ID = 1000;
/** Open files of one process. */
const OPEN_FILES = 4096;
/** Bytes of /tmp, which count as memory: this, or half of the memory limit when that is less. */
const TMP_BYTES = 1024 ** 3;
/** Seconds after its deadline at which a container that no agent watches ends itself. */
const ORPHAN_GRACE_SECONDS = 60;
/** Seconds between the TERM and the KILL that such a container gives itself. */
const ORPHAN_KILL_SECONDS = 10;

/** What of the host shapes the body. */
export type SandboxFacts = {
  /** Cores of the engine: more is refused by it. */
  cpus: number;
  /** Name of the network that lets out only; null where the host cannot enforce one. */
  outbound: string | null;
};

/**
 * @param spec what is to run
 * @param facts what the host has
 * @returns the body for `POST /containers/create`
 */
export function sandbox(spec: RunSpec, facts: SandboxFacts): ContainerBody {
  const { limits } = spec;
  const network = networkMode(spec, facts);
  const bridged = network !== "none" && network !== "host";
  return {
    Image: spec.image,
    User: `${BUILDER_ID}:${BUILDER_ID}`,
    WorkingDir: spec.working_dir,
    Env: Object.entries({ HOME: "/tmp", ...spec.env }).map(([name, value]) => `${name}=${value}`),
    // The engine has no deadline of its own; this one holds when the agent never comes back.
    Entrypoint: ["timeout", "-k", String(ORPHAN_KILL_SECONDS), String(orphanSeconds(spec))],
    Cmd: spec.command,
    Labels: {
      ...ownerLabels(spec.owner),
      [LABEL.phase]: spec.phase,
      [LABEL.deadline]: String(Math.ceil(spec.deadline_ms)),
    },
    Tty: false,
    AttachStdin: spec.stdin !== null,
    AttachStdout: true,
    AttachStderr: true,
    OpenStdin: spec.stdin !== null,
    StdinOnce: spec.stdin !== null,
    HostConfig: {
      NetworkMode: network,
      ...hardened(limits, { cpus: facts.cpus, bridged }),
      ReadonlyRootfs: true,
      Ulimits: [
        { Name: "nofile", Soft: OPEN_FILES, Hard: OPEN_FILES },
        { Name: "core", Soft: 0, Hard: 0 },
        { Name: "fsize", Soft: limits.disk_bytes, Hard: limits.disk_bytes },
      ],
      Tmpfs: { "/tmp": `rw,exec,nosuid,nodev,mode=1777,size=${tmpBytes(limits.memory_bytes)}` },
      // Byte-true and uncompressed: what an adopting agent reads (protocol rule 14).
      LogConfig: {
        Type: "local",
        Config: {
          "max-size": String(KEPT_FILE_BYTES),
          "max-file": String(KEPT_FILES),
          compress: "false",
          mode: "blocking",
        },
      },
      Mounts: spec.mounts.map(
        (mount): MountBody => ({
          Type: "volume",
          Source: mount.volume,
          Target: mount.target,
          ReadOnly: mount.read_only,
          // Without it an image's folder of that name decides whose the volume is.
          VolumeOptions: { NoCopy: true, Labels: {}, DriverConfig: { Name: "local", Options: {} } },
        }),
      ),
    },
  };
}

function networkMode(spec: RunSpec, facts: SandboxFacts): string {
  return spec.network.kind === "outbound" ? (facts.outbound ?? "none") : spec.network.kind;
}

function orphanSeconds(spec: RunSpec): number {
  return Math.ceil(spec.deadline_ms / 1000) + ORPHAN_GRACE_SECONDS;
}

function tmpBytes(memory: number): number {
  return Math.min(TMP_BYTES, Math.floor(memory / 2));
}
