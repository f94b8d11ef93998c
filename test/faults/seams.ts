/**
 * Loaded into the agents of the fault suite before anything else: an agent stops itself (SIGSTOP) at the place that the
 * file `<home>/halt` names, once, so that a test can kill it, or the edge, just there. Places: HALTS of world.ts.
 * FAULT_CLOCK_MS shifts its wall clock from the start, and SIGUSR2 by an hour and back.
 */
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Control } from "../../agent/control.ts";
import { Journal, type Note } from "../../agent/journal.ts";

const home = process.argv[process.argv.indexOf("--home") + 1] ?? "";

function haltAt(place: string): void {
  const order = join(home, "halt");
  if (!existsSync(order) || readFileSync(order, "utf8") !== place) return;
  rmSync(order);
  process.kill(process.pid, "SIGSTOP");
}

function idOf(note: Note): string | null {
  return note.t === "started" ? note.id : null;
}

const write = Journal.prototype.write;
Journal.prototype.write = async function (note: Note) {
  const phase =
    "phase" in note ? note.phase : this.find("created", ({ id }) => idOf(note) === id)?.phase;
  const place = phase === undefined ? note.t : `${note.t} ${phase}`;
  haltAt(`before ${place}`);
  await write.call(this, note);
  haltAt(`after ${place}`);
};

const send = Control.prototype.send;
Control.prototype.send = function (frame) {
  haltAt(`before ${frame.t}`);
  return send.call(this, frame);
};

const remove = Journal.prototype.remove;
Journal.prototype.remove = async function () {
  haltAt("before remove");
  await remove.call(this);
};

const { fetch } = globalThis;
globalThis.fetch = async (input, init) => {
  const part = /\/parts\/(\d+)$/.exec(String(input))?.[1];
  if (part !== undefined) haltAt(`before part ${part}`);
  const response = await fetch(input, init);
  if (part !== undefined) haltAt(`after part ${part}`);
  return response;
};

const HOUR_MS = 3_600_000;
let shift = Number(process.env.FAULT_CLOCK_MS ?? 0);
process.on("SIGUSR2", () => {
  shift = shift === 0 ? HOUR_MS : 0;
});
const RealDate = Date;
const now = () => RealDate.now() + shift;
globalThis.Date = new Proxy(RealDate, {
  construct: (target, args) => Reflect.construct(target, args.length === 0 ? [now()] : args),
  get: (target, key) => (key === "now" ? now : Reflect.get(target, key)),
});
