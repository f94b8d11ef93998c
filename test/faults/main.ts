/**
 * `npm run faults`: breaks the real stack in every way that we promise to survive, and checks after each that the
 * invariants I1 to I9 hold. Exit status 1 when one does not.
 */
import { parseArgs } from "node:util";
import { allCases } from "./all-cases.ts";
import { AREAS } from "./case.ts";
import { Runner } from "./runner.ts";
import { heading, type Outcome, row, summary } from "./table.ts";

const HELP = `npm run faults -- [options]

  --quick          the cases that take seconds, as npm test runs them
  --only PATTERN   cases whose name matches (a regular expression, any case)
  --area AREA      one of: ${AREAS.join(", ")}
  --list           name the cases, and run none
  --json           print the outcomes as JSON at the end
  --help           this`;

const INTERRUPTED = 130;

const options = parseOptions();
if (options.help) {
  console.log(HELP);
  process.exit(0);
}
const cases = (await allCases()).filter(
  ({ area, name, quick }) =>
    (quick || !options.quick) &&
    (options.area === undefined || area === options.area) &&
    (options.only === undefined || new RegExp(options.only, "i").test(name)),
);
if (cases.length === 0) fail("No case is called that: --list names them.");
if (options.list) {
  for (const { area, name, quick } of cases)
    console.log(`${area}: ${name}${quick ? " (quick)" : ""}`);
  process.exit(0);
}

const say = options.json ? (line: string) => process.stderr.write(`${line}\n`) : console.log;
const runner = new Runner(say);
let interrupted: Promise<unknown> | null = null;
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.once(signal, () => {
    say("Cleaning up.");
    interrupted = runner.close().finally(() => process.exit(INTERRUPTED));
  });
const outcomes: Outcome[] = [];
say(heading());
for (const one of cases) {
  const outcome = await runner.run(one);
  // What fails now fails because its world is being taken away.
  if (interrupted !== null) await interrupted;
  outcomes.push(outcome);
  say(row(outcome));
  for (const reason of outcome.reasons) say(`    ${reason.replaceAll("\n", "\n    ")}`);
}
const left = await runner.close();
for (const reason of left) say(`After the last case: ${reason}`);
if (cases.length > 1) {
  say(`\n${heading()}`);
  for (const outcome of outcomes) say(row(outcome));
}
for (const { name, result, reasons } of outcomes)
  if (result === "cannot run") say(`cannot run here: ${name}: ${reasons.join(" ")}`);
say(summary(outcomes));
if (options.json) console.log(JSON.stringify(outcomes, null, 2));
process.exit(left.length > 0 || outcomes.some(({ result }) => result === "VIOLATED") ? 1 : 0);

function parseOptions() {
  try {
    const { values } = parseArgs({
      options: {
        quick: { type: "boolean", default: false },
        only: { type: "string" },
        area: { type: "string" },
        list: { type: "boolean", default: false },
        json: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    });
    return values;
  } catch (error) {
    return fail(error instanceof Error ? error.message : String(error));
  }
}

function fail(why: string): never {
  console.error(`${why}\n\n${HELP}`);
  process.exit(2);
}
