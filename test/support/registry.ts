/** A real registry with TLS and a password, as the engine meets one: docker-registry of the distribution. */

import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { access, constants, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { request } from "node:https";
import { createServer } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { hash } from "bcryptjs";
import { cached } from "./cache.ts";
import { makeCertificate } from "./certificate.ts";
import { Apt } from "./debian.ts";
import { until } from "./until.ts";

const USERNAME = "pusher";
/** Rounds of bcrypt, as a power of two: the fewest. docker-registry takes no other kind of hash. */
const HASH_COST = 4;
/** Where the engine looks for the authority of a registry, at each request. */
const CERTIFICATES = "/etc/docker/certs.d";
const MANIFESTS =
  "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json";

export type Registry = {
  /** `host:port`, the first part of an image's name. */
  name: string;
  username: string;
  password: string;
  /** Digest of what a tag names; null when there is none. */
  digest(repository: string, tag: string): Promise<string | null>;
  /** Ends it at once, in the middle of whatever it does. */
  kill(): Promise<void>;
  /** Starts it again, with what it had stored. */
  start(): Promise<void>;
  close(): Promise<void>;
};

/** Starts it on an address that the engine does not take for a loopback one: there it would not look at certificates. */
export async function startRegistry(): Promise<Registry> {
  const program = await registryProgram();
  const folder = await mkdtemp(join(tmpdir(), "railhead-registry-"));
  // Its own, so that a test may look for it everywhere while others use theirs.
  const password = randomBytes(16).toString("hex");
  const host = ownAddress();
  const name = `${host}:${await freePort(host)}`;
  const trusted = join(CERTIFICATES, name);
  await makeCertificate(folder, host);
  const ca = await readFile(join(folder, "tls.crt"), "utf8");
  await mkdir(trusted, { recursive: true });
  await writeFile(join(trusted, "ca.crt"), ca);
  await writeFile(join(folder, "htpasswd"), `${USERNAME}:${await hash(password, HASH_COST)}\n`);
  await writeFile(join(folder, "config.yml"), configuration(folder, name));
  const authorization = `Basic ${btoa(`${USERNAME}:${password}`)}`;
  const head = (path: string) =>
    new Promise<{ status: number; digest: string | null }>((resolve, reject) => {
      const headers = { authorization, accept: MANIFESTS };
      const asking = request(`https://${name}${path}`, { method: "HEAD", ca, headers });
      asking.on("error", reject);
      asking.on("response", (response) => {
        response.resume();
        const digest = response.headers["docker-content-digest"];
        resolve({ status: response.statusCode ?? 0, digest: digest ? String(digest) : null });
      });
      asking.end();
    });

  let child: ChildProcess;
  let said = "";
  const start = async () => {
    child = spawn(program, ["serve", join(folder, "config.yml")], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    child.stderr?.on("data", (chunk: Buffer) => {
      said = `${said}${chunk}`.slice(-2_000);
    });
    await until("the registry answers", () => {
      if (child.exitCode !== null) throw new Error(`docker-registry ended: ${said}`);
      return head("/v2/").then(
        () => true,
        () => false,
      );
    });
  };
  const kill = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "close");
    child.kill("SIGKILL");
    await ended;
  };
  const close = async () => {
    await kill();
    await rm(trusted, { recursive: true });
    await rm(folder, { recursive: true });
  };
  await start().catch(async (error: unknown) => {
    await close();
    throw error;
  });
  return {
    name,
    username: USERNAME,
    password,
    digest: async (repository, tag) => {
      const { status, digest } = await head(`/v2/${repository}/manifests/${tag}`);
      return status === 200 ? digest : null;
    },
    kill,
    start,
    close,
  };
}

function registryProgram(): Promise<string> {
  const inside = "usr/bin/docker-registry";
  const intact = (path: string) =>
    access(join(path, inside), constants.X_OK).then(
      () => true,
      () => false,
    );
  return cached("docker-registry", intact, async (path) => {
    const apt = await Apt.open();
    try {
      await mkdir(path);
      await apt.unpack(["docker-registry"], path);
    } finally {
      await apt.close();
    }
  }).then((path) => join(path, inside));
}

function configuration(folder: string, name: string): string {
  // JSON is YAML.
  return JSON.stringify({
    version: "0.1",
    log: { level: "error" },
    storage: { filesystem: { rootdirectory: join(folder, "data") }, delete: { enabled: true } },
    http: {
      addr: name,
      tls: { certificate: join(folder, "tls.crt"), key: join(folder, "tls.key") },
    },
    auth: { htpasswd: { realm: "railhead", path: join(folder, "htpasswd") } },
  });
}

/** An IPv4 address of this machine that is no loopback one. */
function ownAddress(): string {
  const all = Object.values(networkInterfaces()).flatMap((found) => found ?? []);
  const own = all.find(({ family, internal }) => family === "IPv4" && !internal);
  if (own === undefined) throw new Error("this machine has no address but its loopback");
  return own.address;
}

async function freePort(host: string): Promise<number> {
  const server = createServer().listen(0, host);
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("no port is free");
  return address.port;
}
