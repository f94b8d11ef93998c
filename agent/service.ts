/** `run`: puts the agent together and keeps it going until it is told to end. */
import { arch, platform } from "node:os";
import { join } from "node:path";
import type { Target } from "../shared/recipes/index.ts";
import type { AppHost } from "./apps/host.ts";
import { Attempts } from "./attempts.ts";
import { pause } from "./backoff.ts";
import type { AgentSettings } from "./config.ts";
import { Control } from "./control.ts";
import type { DockerHost, HostFacts } from "./docker/contracts.ts";
import { AgentExit, EXIT, messageOf } from "./errors.ts";
import { Health } from "./health.ts";
import { Housekeeping } from "./housekeeping.ts";
import type { Identity } from "./identity.ts";
import { Lease } from "./lease.ts";
import type { Logger } from "./logger.ts";
import { Relay } from "./mail.ts";
import type { AgentPorts } from "./ports.ts";
import type { Recipe } from "./recipes/contracts.ts";
import { sleep, within } from "./timing.ts";

/** Milliseconds between two looks at the host and two rounds of the reaper. */
const ROUND_MS = 60_000;
/** Milliseconds that the first hello waits for a look at the host: a missing image may take minutes. */
const FIRST_LOOK_MS = 3_000;
/** Milliseconds that what runs beside the attempts has to end. */
const ENDING_MS = 10_000;
/** Milliseconds that attempts have to end when the edge threw this agent out. */
const THROWN_OUT_MS = 45_000;

/** Go's words, which every path uses, for processors that Node calls otherwise. */
const GO_ARCH = new Map([
  ["x64", "amd64"],
  ["ia32", "386"],
]);

export type ServiceParts = {
  ports: AgentPorts;
  home: string;
  identity: Identity;
  settings: AgentSettings;
  docker: DockerHost;
  recipes: Record<string, Recipe<Target>>;
  /** The web apps of this host; null where there are none. */
  apps: AppHost | null;
  /** End after one build. */
  once: boolean;
  log: Logger;
};

export class Service {
  readonly #parts: ServiceParts;
  readonly #lease: Lease;
  readonly #health: Health;
  readonly #attempts: Attempts;
  readonly #control: Control;
  readonly #housekeeping: Housekeeping;
  readonly #relay: Relay | null;
  readonly #stop = new AbortController();
  #facts: HostFacts | null = null;
  #draining = false;
  #cancelled = false;
  /** What the edge was told last. */
  #told = "";

  constructor(parts: ServiceParts) {
    const { ports, home, identity, settings, docker, recipes, log } = parts;
    const { clock, random } = ports;
    this.#parts = parts;
    this.#lease = new Lease(() => clock.now());
    const instance = random.hex(8);
    const { limits, capacity, mail } = settings;
    this.#relay = mail && new Relay(mail, clock, log);
    this.#health = new Health({
      clock,
      disk: ports.disk,
      home,
      docker,
      images: [...new Set(Object.values(recipes).flatMap((recipe) => recipe.images()))],
      min_free_bytes: settings.min_free_bytes,
      log,
    });
    this.#attempts = new Attempts({
      folder: join(home, "attempts"),
      recipes,
      capacity,
      time_ms: limits.time_ms,
      log,
      notNow: () => this.#notNow(),
      unwritable: (why) => {
        this.#health.unwritable(why);
        this.#tell();
      },
      send: (frame) => this.#control.send(frame),
      host: {
        ports,
        agent: identity.agent,
        edge: identity.url,
        instance,
        docker,
        limits,
        caps: settings.log,
        relay: this.#relay,
        log,
        mayAct: (signal) => this.#control.mayAct(signal),
        unclean: (owner, why) => {
          this.#health.unclean(owner, why);
          this.#tell();
        },
      },
    });
    this.#housekeeping = new Housekeeping({
      random,
      agent: identity.agent,
      attempts: this.#attempts,
      docker,
      limits,
      recipes: Object.values(recipes),
      log,
    });
    this.#control = new Control({
      ports,
      identity,
      instance,
      lease: this.#lease,
      log,
      events: {
        hello: () => this.#hello(),
        welcomed: (drop) => void this.#attempts.welcomed(drop).catch(this.#bug("welcome")),
        assign: (frame) => void this.#attempts.assign(frame).catch(this.#bug("assign")),
        cancel: (frame) => this.#attempts.cancel(frame),
        drain: () => this.drain("the edge asked for it"),
        edgeTime: (time_ms, asked) => this.#health.edgeClock.heard(time_ms, asked),
        expired: () =>
          void this.#attempts.stopAll("over", "the lease ran out").catch(this.#bug("expiry")),
      },
    });
  }

  /**
   * Runs until drained, cancelled or refused. What is under way when this rejects stays for a successor.
   * @throws AgentExit
   */
  async run(): Promise<void> {
    const { home, log, ports, apps } = this.#parts;
    await ports.disk.makeFolder(home);
    this.#facts = await this.#engine();
    if (this.#stop.signal.aborted) return;
    await this.#attempts.load();
    await apps?.load();
    await this.#reap();
    const firstLook = this.#health.look();
    await Promise.race([firstLook, sleep(ports.clock, FIRST_LOOK_MS)]);
    const rounds = this.#rounds(firstLook);
    const housekeeping = this.#parts.once ? null : this.#housekeeping.run(this.#stop.signal);
    const watching = this.#watch();
    try {
      await this.#control.run();
    } catch (error) {
      if (error instanceof AgentExit && error.status === EXIT.refused) await this.#thrownOut();
      throw error;
    } finally {
      this.#stop.abort();
    }
    const rest = Promise.all([rounds, housekeeping, watching, this.#relay?.settled()]);
    await within(ports.clock, rest, ENDING_MS, "it takes too long").catch((error: unknown) =>
      log.warn("what ran beside the attempts was broken off", { why: messageOf(error) }),
    );
    apps?.stop();
    log.info("stopped");
  }

  /** Finishes what runs, takes nothing new, then ends. */
  drain(why: string): void {
    if (this.#draining) return;
    this.#draining = true;
    this.#parts.log.info("draining", { why, running: this.#attempts.running });
    this.#tell();
    this.#endWhenIdle();
  }

  /** SIGTERM or SIGINT: the first drains, the second cancels what runs. */
  interrupt(): void {
    if (!this.#draining) {
      this.drain("a signal");
      return;
    }
    if (this.#cancelled) return;
    this.#cancelled = true;
    this.#parts.log.info("cancelling", { running: this.#attempts.running });
    const reason = "The agent was stopped by its owner. Post the build again.";
    void this.#attempts.stopAll("cancelled", reason).catch(this.#bug("cancel"));
  }

  #endWhenIdle(): void {
    if (!this.#draining || this.#attempts.running > 0) return;
    this.#stop.abort();
    this.#control.stop();
  }

  /** Follows the attempts as they come and go. */
  async #watch(): Promise<void> {
    const signal = this.#stop.signal;
    while (!signal.aborted) {
      await this.#attempts.changed(signal);
      if (this.#parts.once && this.#attempts.finished > 0) this.drain("--once");
      this.#endWhenIdle();
    }
  }

  async #rounds(firstLook: Promise<void>): Promise<void> {
    const signal = this.#stop.signal;
    await firstLook;
    this.#tell();
    for (;;) {
      await sleep(this.#parts.ports.clock, ROUND_MS, signal);
      if (signal.aborted) return;
      await this.#health.look();
      // An engine that hangs would keep the reaper for as long again.
      this.#tell();
      await this.#reap();
      this.#tell();
    }
  }

  /** Removes from the host what no attempt claims. */
  async #reap(): Promise<void> {
    const { docker, identity, apps, log, ports } = this.#parts;
    const housekeeping = this.#housekeeping.owner;
    try {
      const live = [...this.#attempts.held(), ...(housekeeping ? [housekeeping] : [])];
      const cleaned = this.#health.reaping();
      const reaping = docker.reap(identity.agent, live);
      const removed = await within(ports.clock, reaping, ROUND_MS, "the engine takes too long");
      if (removed.length > 0) log.info("removed leftovers", { count: removed.length });
      cleaned();
      if (apps !== null)
        await within(ports.clock, apps.reap(live), ROUND_MS, "the engine takes too long");
    } catch (error) {
      log.warn("leftovers could not be removed", { why: messageOf(error) });
    }
  }

  /** The engine's facts, as soon as it answers. */
  async #engine(): Promise<HostFacts | null> {
    const { docker, settings, log, ports } = this.#parts;
    for (let failures = 0; !this.#stop.signal.aborted; failures++) {
      try {
        return await docker.facts();
      } catch (error) {
        log.warn("waiting for the Docker engine", {
          socket: settings.docker_socket,
          why: messageOf(error),
        });
        await pause(ports, failures, this.#stop.signal);
      }
    }
    return null;
  }

  /** The edge removed this agent: its attempts are others' now. */
  async #thrownOut(): Promise<void> {
    const over = this.#attempts.stopAll("over", "the edge refuses this agent");
    await within(this.#parts.ports.clock, over, THROWN_OUT_MS, "cleaning up took too long").catch(
      this.#bug("cleaning up"),
    );
  }

  #hello() {
    const { settings, recipes } = this.#parts;
    this.#told = this.#state();
    return {
      engine: this.#facts?.engine_id ?? "unknown",
      capacity: settings.capacity,
      labels: { ...this.#ownLabels(), ...settings.labels },
      recipes: Object.keys(recipes),
      unwell: this.#health.unwell,
      draining: this.#draining,
      held: this.#attempts.held(),
    };
  }

  /** What this host can enforce, for those who choose by it. */
  #ownLabels(): Record<string, string> {
    const yes = (value: boolean | undefined) => (value ? "yes" : "no");
    return {
      os: platform(),
      arch: GO_ARCH.get(arch()) ?? arch(),
      firewall: yes(this.#facts?.firewall),
      quota: yes(this.#facts?.quota),
      ...Object.assign(
        {},
        ...Object.values(this.#parts.recipes).map((recipe) => recipe.labels?.()),
      ),
    };
  }

  /** Tells the edge how this host is, when that changed. */
  #tell(): void {
    const state = this.#state();
    if (state === this.#told) return;
    const unwell = this.#health.unwell;
    if (unwell) this.#parts.log.warn("unwell", { why: unwell });
    const { capacity } = this.#parts.settings;
    if (this.#control.send({ t: "status", capacity, unwell, draining: this.#draining }))
      this.#told = state;
  }

  #state(): string {
    return JSON.stringify([this.#health.unwell, this.#draining]);
  }

  #notNow(): { code: "draining" | "unwell"; reason: string } | null {
    // A refusal makes the edge think so: only a status takes that back.
    this.#tell();
    if (this.#draining) return { code: "draining", reason: "this agent is draining" };
    const unwell = this.#health.unwell;
    return unwell === null ? null : { code: "unwell", reason: unwell };
  }

  #bug(what: string): (error: unknown) => void {
    return (error) => this.#parts.log.bug(`${what} failed`, error);
  }
}
