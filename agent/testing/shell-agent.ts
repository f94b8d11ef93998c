/**
 * An agent process for crash tests: two containers of `sh -c`, real Docker, one file. Usage: shell-agent.ts HOME IMAGE.
 * With RAILHEAD_TEST_DIE it kills itself once before and once after each step that the journal notes.
 */
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseSettings } from "../config.ts";
import { dockerHost } from "../docker/index.ts";
import { loadIdentity } from "../identity.ts";
import { Journal, type Note } from "../journal.ts";
import { createLogger } from "../logger.ts";
import { machine } from "../machine.ts";
import type { RecipeContext } from "../recipes/contracts.ts";
import { Service } from "../service.ts";
import { made, recipe } from "./agent.ts";

const [home = "", image = ""] = process.argv.slice(2);

/** Prints numbered lines on both streams for about two seconds. */
export const BUILD_SCRIPT =
  'i=0; while [ $i -lt 100 ]; do echo "out $i"; echo "err $i" >&2; i=$((i+1)); sleep 0.02; done';

async function make(context: RecipeContext) {
  const spec = {
    image,
    env: {},
    working_dir: "/",
    mounts: [],
    network: { kind: "none" as const },
    limits: context.limits,
  };
  await context.say("fetching");
  await context.phase("fetching", async () => {
    const command = [
      "sh",
      "-c",
      "read token; echo fetched with $(printf %s $token | wc -c) characters",
    ];
    const { exit } = await context.run({ ...spec, phase: "fetch", command, stdin: "1234567\n" });
    return exit.code;
  });
  await context.say("building");
  const built = await context.run({
    ...spec,
    phase: "build",
    command: ["sh", "-c", BUILD_SCRIPT],
    stdin: null,
  });
  await context.say(`built: ${built.exit.code}, ${built.tail.length} lines`);
  return [await made(context.folder, "file", Buffer.alloc(25_000, "file"))];
}

/** Dies once at each place that it has not died at before. */
function dieAt(place: string): void {
  const file = join(home, "died");
  if (existsSync(file) && readFileSync(file, "utf8").split("\n").includes(place)) return;
  appendFileSync(file, `${place}\n`);
  process.kill(process.pid, "SIGKILL");
}

if (process.env.RAILHEAD_TEST_DIE) {
  const write = Journal.prototype.write;
  Journal.prototype.write = async function (note: Note) {
    const place = `${note.t} ${"phase" in note ? note.phase : "name" in note ? note.name : ""}`;
    dieAt(`before ${place}`);
    await write.call(this, note);
    dieAt(`after ${place}`);
  };
  const remove = Journal.prototype.remove;
  Journal.prototype.remove = async function () {
    dieAt("before remove");
    await remove.call(this);
    dieAt("after remove");
  };
}

const identity = await loadIdentity(home);
const settings = parseSettings({ capacity: 2, limits: { memory: "128m" } }, (key) => key);
const service = new Service({
  ports: machine(identity),
  home,
  identity,
  settings,
  docker: dockerHost({ agent: identity.agent, folder: home, socket: settings.docker_socket }),
  recipes: { go: recipe(make) },
  apps: null,
  once: false,
  log: createLogger({ json: false, write: (line) => process.stderr.write(`${line}\n`) }),
});
process.on("SIGTERM", () => service.interrupt());
await service.run();
process.exit(0);
