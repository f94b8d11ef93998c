/** What happens in a run: who wants what when, and what breaks meanwhile. All of it follows from the seed. */
import type { Target } from "../../shared/recipes/index.ts";
import type { Blow } from "./faults.ts";
import { ENGINE_FAULTS, type SimHost } from "./host/host.ts";
import type { SeededRandom } from "./random.ts";
import { targetOf, type World } from "./world.ts";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
/** Minutes in which things are asked for and break. */
const ACTIVE_MINUTES = { least: 3, most: 9 };
/** Weights of the weather: calm, fair, foul. */
const WEATHER = [0, 1, 1, 2, 4];
const BLOW_EVERY_MS = { least: SECOND, most: 18 * SECOND };
/** Odds of a blow while no machine is at work: there is less to break. */
const IDLE_BLOWS = 0.15;
const CALLERS = ["token:a", "token:b", "ip:192.0.2.1"];
/** The bound within which every build has its end once nothing breaks any more (I2). */
export const END_BOUND_MS = 30 * MINUTE;
/** The bound within which nothing is left of it: the pool keeps an uncounted end for ten minutes. */
export const REST_BOUND_MS = 25 * MINUTE;
const LOOK_MS = 5 * SECOND;

/** Lives through one run. @throws Violation */
export async function live(world: World): Promise<void> {
  const random = world.random.fork();
  const active_ms = random.between(ACTIVE_MINUTES.least, ACTIVE_MINUTES.most) * MINUTE;
  const hosts = random.pick([1, 2, 2, 3]);
  for (let i = 1; i <= hosts; i++) await world.addHost(`smithy-${i}`, 1 + random.below(2));
  world.faults.weight = random.pick(WEATHER);
  ask(world, random.fork(), active_ms);
  if (world.faults.weight > 0) scheduleBlows(world, random.fork(), active_ms);
  for (let left = active_ms; left > 0; left -= LOOK_MS) await world.run(Math.min(LOOK_MS, left));
  calm(world);
  await settle(world);
}

/** People come and want something. */
function ask(world: World, random: SeededRandom, active_ms: number): void {
  const targets = Array.from({ length: 2 + random.below(4) }, (_, i) =>
    targetOf(i, random.chance(0.25) ? "private" : "public"),
  );
  const posts = 3 + random.below(5);
  for (let i = 0; i < posts; i++) {
    const target = random.pick(targets);
    const at = random.between(0, active_ms * 0.8);
    // Now and then many want the same at the same moment.
    const crowd = random.chance(0.3) ? 2 + random.below(4) : 1;
    for (let j = 0; j < crowd; j++) {
      const own = random.fork();
      const later = at + (j === 0 ? 0 : own.between(0, own.pick([5, 50, 2_000])));
      world.kernel.after(later, "somebody posts", () => void visit(world, own, target));
    }
  }
}

/** One who posts, and what they do then. */
async function visit(world: World, random: SeededRandom, target: Target): Promise<void> {
  const { users, kernel } = world;
  const caller = random.pick(CALLERS);
  const secret = target.visibility === "private" ? world.plant() : null;
  const answer = await users.post(target, caller, secret);
  if (answer?.kind !== "admitted" && answer?.kind !== "joined") return;
  const id = answer.build.build_id;
  const promised = users.promised.get(id);
  const soon = (ms: number, what: string, act: () => Promise<unknown>) =>
    kernel.after(random.between(0, ms), what, () => void act());
  if (promised && random.chance(0.5))
    soon(MINUTE, "somebody follows", () => users.follow(promised));
  if (random.chance(0.3)) soon(2 * MINUTE, "somebody looks", () => users.look(id));
  if (random.chance(0.2)) soon(MINUTE, "somebody waits", () => users.wait(id, 20 * SECOND));
  if (random.chance(0.15))
    soon(2 * MINUTE, "somebody cancels", () => users.cancel(id, random.pick([caller, "admin"])));
}

function scheduleBlows(world: World, random: SeededRandom, until_ms: number): void {
  const next = () => {
    const ms = random.between(BLOW_EVERY_MS.least, BLOW_EVERY_MS.most);
    if (world.elapsed + ms > until_ms) return;
    world.kernel.after(ms, "a blow", () => {
      const busy = world.hosts.some(({ containers }) => containers.length > 0);
      if (busy || random.chance(IDLE_BLOWS)) strike(world, random);
      next();
    });
  };
  next();
}

function strike(world: World, random: SeededRandom): void {
  const blow = random.pick(Object.keys(BLOW) as Blow[]);
  if (BLOW[blow](world, random)) world.blow(blow);
}

/** Each does it if it can, and says whether it did. */
const BLOW: Record<Blow, (world: World, random: SeededRandom) => boolean> = {
  "edge: deploy": ({ edge }) => {
    for (const object of edge.objects()) object.die("the edge is deployed");
    return true;
  },
  "edge: object dies": ({ edge }, random) => {
    const awake = [...edge.objects()].filter((object) => object.awake);
    if (awake.length === 0) return false;
    random.pick(awake).die("it dies");
    return true;
  },
  "edge: eviction": ({ edge }) =>
    [...edge.objects()].map((object) => object.evict()).some((evicted) => evicted),
  "bucket: file lost": ({ edge }, random) => {
    const { objects } = edge.bucket.contents;
    const manifests = [...objects.keys()].filter((key) => key.startsWith("manifests/"));
    const bytes = manifests.length > 0 ? objects.get(random.pick(manifests))?.bytes : undefined;
    if (bytes === undefined || !random.chance(0.5)) return false;
    return objects.delete(JSON.parse(bytes.toString()).files[0].key);
  },
  "network: partition": ({ network, hosts, losses }, random) => {
    const { name } = pickHost(hosts, random);
    network.partition(name, random.pick([1, 5, 20, 60, 150, 200, 300]) * SECOND);
    losses.excuse(name);
    return true;
  },
  "network: all sockets cut": ({ network }) => {
    network.cutAll();
    return true;
  },
  "agent: killed": ({ hosts }, random) => {
    const host = pickHost(hosts, random);
    if (!host.running) return false;
    if (random.chance(0.5)) host.killAtWrite(random.below(12));
    else host.kill();
    return true;
  },
  "agent: restarted": ({ hosts }, random) => {
    const host = pickHost(hosts, random);
    if (!host.running) return false;
    host.kill();
    host.start();
    return true;
  },
  "agent: suspended": ({ hosts, kernel, losses }, random) => {
    const host = pickHost(hosts, random);
    if (!host.running || host.suspended) return false;
    host.suspend();
    losses.excuse(host.name);
    const ms = random.pick([3, 15, 60, 100, 200]) * SECOND;
    kernel.after(ms, `${host.name} goes on`, () => host.resume());
    return true;
  },
  "agent: rebooted": ({ hosts, losses }, random) => {
    const host = pickHost(hosts, random);
    host.reboot(random.between(5, 40) * SECOND);
    losses.excuse(host.name);
    return true;
  },
  "agent: drained": (world, random) => {
    const { hosts } = world;
    const host = pickHost(hosts, random);
    if (!host.running || world.drained.has(host.life)) return false;
    world.drained.add(host.life);
    host.sigterm();
    return true;
  },
  "agent: interrupted": ({ hosts, invariants, losses }, random) => {
    const host = pickHost(hosts, random);
    if (!host.running || !random.chance(0.3)) return false;
    losses.excuse(host.name);
    host.sigterm();
    host.sigterm();
    invariants.interrupted = true;
    return true;
  },
  "agent: clock off": ({ hosts }, random) => {
    pickHost(hosts, random).skewClock(random.between(-60 * MINUTE, 60 * MINUTE));
    return true;
  },
  "agent: disk full": ({ hosts, kernel, losses }, random) => {
    const host = pickHost(hosts, random);
    host.fillDisk(true);
    losses.excuse(host.name);
    const ms = random.between(1, 60) * SECOND;
    kernel.after(ms, `${host.name} has room`, () => host.fillDisk(false));
    return true;
  },
  "agent: engine broken": ({ hosts, losses }, random) => {
    const host = pickHost(hosts, random);
    host.breakDocker(random.pick(ENGINE_FAULTS), random.between(1, 60) * SECOND);
    losses.excuse(host.name);
    return true;
  },
};

/** Mostly one that is at work: there is more to break. */
function pickHost(hosts: readonly SimHost[], random: SeededRandom): SimHost {
  const busy = hosts.filter(({ containers }) => containers.length > 0);
  return random.pick(busy.length > 0 && random.chance(0.8) ? busy : hosts);
}

/** From here on nothing breaks any more, and who was stopped goes on. */
function calm({ faults, network, hosts, kernel }: World): void {
  kernel.tell(() => "*** calm");
  faults.weight = 0;
  network.heal();
  for (const host of hosts) {
    host.resume();
    host.fillDisk(false);
    host.skewClock(0);
  }
}

/** All that was begun comes to its end by itself, and nothing of it stays. */
async function settle(world: World): Promise<void> {
  const { invariants, users, edge, hosts } = world;
  const bound = async (ms: number, left: () => string[]) => {
    const until = world.elapsed + ms;
    while (left().length > 0) {
      if (world.elapsed >= until) return world.wrong(`I2, I7: still there: ${left().join("; ")}`);
      await world.run(LOOK_MS);
    }
  };
  // Whoever asks wakes what lost its alarm.
  for (const id of edge.builds.keys()) void users.look(id);
  await bound(END_BOUND_MS, () => invariants.unended(users));
  await bound(REST_BOUND_MS, () => [
    ...invariants.residue(),
    ...hosts.flatMap((host) => host.leftovers(() => false)),
    ...users.readings.filter(({ ended }) => !ended).map(({ build }) => `a reader of ${build}`),
  ]);
  const stats = edge.poolObject("default").invoke("stats", (shell) => shell.stats());
  await world.run(LOOK_MS);
  const { queued, running } = await stats;
  if (queued > 0 || running > 0)
    world.wrong(`I7: the pool counts ${queued} queued, ${running} running`);
  invariants.finish(users, world.secrets, hosts);
  await world.run(0);
}
