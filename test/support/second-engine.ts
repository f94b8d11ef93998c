/** A Docker engine of a test's own beside the machine's, to be killed and started again. Root on Linux only. */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { access, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { DOCKER_SOCKET, engine } from "./engine.ts";
import { programOf } from "./memory.ts";
import { must, run } from "./process.ts";
import { until } from "./until.ts";

const START_MS = 60_000;
/** Of the bridge that it wants although no container of ours uses it. */
const BRIDGE_ADDRESS = "10.213.77.1/28";

export class SecondEngine {
  readonly #folder: string;
  readonly #bridge: string;
  #child: ChildProcess | null = null;

  private constructor(folder: string, bridge: string) {
    this.#folder = folder;
    this.#bridge = bridge;
  }

  /** Why there can be none on this machine; null when there can. */
  static async impossible(): Promise<string | null> {
    if (process.getuid?.() !== 0) return "A second dockerd needs root.";
    const found = await Promise.all(
      ["dockerd", "ip"].map((tool) => run("sh", ["-c", `command -v ${tool}`])),
    );
    return found.every(({ code }) => code === 0) ? null : "A second dockerd needs dockerd and ip.";
  }

  /** Starts one that has this image of the machine's engine, and nothing else. */
  static async open(image: string): Promise<SecondEngine> {
    const folder = await mkdtemp(join(tmpdir(), "railhead-dockerd-"));
    // Without a bridge of its own it would take the first engine's away.
    const bridge = `rht-${randomBytes(4).toString("hex")}`;
    const second = new SecondEngine(folder, bridge);
    try {
      await must("ip", ["link", "add", bridge, "type", "bridge"]);
      await must("ip", ["address", "add", BRIDGE_ADDRESS, "dev", bridge]);
      await must("ip", ["link", "set", bridge, "up"]);
      // As images/engine.sh sets up the machine's: containers outlive the engine.
      await writeFile(join(folder, "daemon.json"), JSON.stringify({ "live-restore": true }));
      await second.start();
      await second.#copy(image);
      return second;
    } catch (error) {
      await second.close();
      throw error;
    }
  }

  get socket(): string {
    return join(this.#folder, "docker.sock");
  }

  async start(): Promise<void> {
    const at = (name: string) => join(this.#folder, name);
    const log = openSync(at("log"), "a");
    this.#child = spawn(
      "dockerd",
      [
        ...["--config-file", at("daemon.json"), "--host", `unix://${this.socket}`],
        ...["--data-root", at("data"), "--exec-root", at("run"), "--pidfile", at("pid")],
        ...["--bridge", this.#bridge, "--iptables=false", "--ip-forward=false", "--ip-masq=false"],
      ],
      { stdio: ["ignore", log, log] },
    );
    closeSync(log);
    await until("the second engine", () => this.#answers(), START_MS);
  }

  /** As a crash would end it. Containers live on. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === null) return;
    this.#child = null;
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  }

  /** As its service manager would end it. */
  async stop(): Promise<void> {
    const child = this.#child;
    if (child === null) return;
    this.#child = null;
    child.kill("SIGTERM");
    await until("dockerd's end", () => child.exitCode !== null || child.signalCode !== null);
  }

  async close(): Promise<void> {
    await this.stop();
    // Its containerd may outlive it.
    const pid = await readFile(join(this.#folder, "run/containerd/containerd.pid"), "utf8").catch(
      () => "",
    );
    if (pid !== "" && (await programOf(Number(pid))) === "containerd") process.kill(Number(pid));
    await this.#unmount();
    await run("ip", ["link", "delete", this.#bridge]);
    await rm(this.#folder, { recursive: true, force: true });
  }

  /** What containers that were never stopped still have mounted. */
  async #unmount(): Promise<void> {
    const mounts = (await readFile("/proc/mounts", "utf8")).split("\n");
    const ours = mounts
      .map((line) => line.split(" ")[1] ?? "")
      .filter((path) => path.startsWith(`${this.#folder}/`));
    for (const path of ours.sort().reverse()) await run("umount", ["--lazy", path]);
  }

  async #answers(): Promise<boolean> {
    const there = await access(this.socket).then(
      () => true,
      () => false,
    );
    return (
      there && (await engine("GET", "/_ping", undefined, this.socket).catch(() => "")) === "OK"
    );
  }

  /** From the machine's engine to this one. */
  async #copy(image: string): Promise<void> {
    const from = request({ socketPath: DOCKER_SOCKET, path: `/images/${image}/get` });
    from.end();
    const [archive] = await once(from, "response");
    const to = request({ socketPath: this.socket, method: "POST", path: "/images/load?quiet=1" });
    const answered = once(to, "response");
    await pipeline(archive, to);
    const [answer] = await answered;
    answer.resume();
    await once(answer, "end");
    await engine("GET", `/images/${image}/json`, undefined, this.socket);
  }
}
