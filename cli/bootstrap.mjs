// @ts-check
/**
 * Starts anything of this checkout from any Node.js from 20 on: installs the npm packages when they are
 * missing or another package-lock.json asks for others, then goes on in the Node.js that is one of them.
 *
 *   node cli/bootstrap.mjs ARGS…          railhead ARGS…
 *   node cli/bootstrap.mjs --node FILE …  a program of this checkout
 *   node cli/bootstrap.mjs --run SCRIPT … an npm script that needs the Docker engine and the builder images
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { constants } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const bin = join(root, "node_modules/.bin");
const node = join(bin, "node");
const main = join(root, "cli/main.ts");
/** Milliseconds between looks at whether npm, which started us, still lives. */
const PARENT_POLL_MS = 500;

/** @param {string} file */
function readPackages(file) {
  return JSON.parse(readFileSync(join(root, file), "utf8")).packages;
}

/** Whether node_modules holds what package-lock.json asks for; packages of other platforms are not missed. */
function installed() {
  if (!existsSync(node) || !existsSync(join(root, "node_modules/.package-lock.json"))) return false;
  const wanted = readPackages("package-lock.json");
  const present = readPackages("node_modules/.package-lock.json");
  return Object.entries(wanted).every(
    ([path, { version, optional }]) =>
      path === "" || (present[path] ? present[path].version === version : optional === true),
  );
}

function install() {
  console.error("Installing the npm packages; this takes about twenty seconds, once.");
  const npm = process.env.npm_execpath;
  const args = ["ci", "--no-audit", "--no-fund", "--loglevel=error"];
  const options = { cwd: root, stdio: /** @type {const} */ (["ignore", 2, 2]) };
  const { status } = npm
    ? spawnSync(process.execPath, [npm, ...args], options)
    : spawnSync("npm", args, options);
  if (status !== 0 || !installed()) {
    console.error("npm ci failed: the lines above say why. Then run this again.");
    process.exit(1);
  }
}

/**
 * Runs to the end with our terminal, passing signals on; answers the exit status as a shell would give it.
 * @param {string} command
 * @param {string[]} args
 * @returns {Promise<number>}
 */
function run(command, args) {
  const env = {
    ...process.env,
    PATH: `${bin}${delimiter}${process.env.PATH ?? ""}`,
    // Lets the program see that we died, and end with us.
    RAILHEAD_LAUNCHER: String(process.pid),
  };
  const child = spawn(command, args, { stdio: "inherit", env });
  // A terminal sends these to the whole group: passed on, they would count twice.
  for (const signal of /** @type {const} */ (["SIGINT", "SIGHUP", "SIGQUIT"]))
    process.on(signal, () => process.stdin.isTTY || child.kill(signal));
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  const parent = process.ppid;
  const underNpm = process.env.npm_lifecycle_event !== undefined;
  const watch = setInterval(() => {
    if (underNpm && process.ppid !== parent) child.kill("SIGTERM");
  }, PARENT_POLL_MS);
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code, signal) => {
      clearInterval(watch);
      resolve(code ?? 128 + constants.signals[/** @type {NodeJS.Signals} */ (signal)]);
    });
  });
}

/** @param {string[]} args */
export async function bootstrap(args) {
  if (!installed()) install();
  const [first, script, ...rest] = args;
  if (first === "--node" && script !== undefined)
    return await run(node, [join(root, script), ...rest]);
  if (first !== "--run" || script === undefined) return await run(node, [main, ...args]);
  const ready = await run(node, [main, "prepare"]);
  return ready === 0 ? await run("npm", ["run", "--silent", script, "--", ...rest]) : ready;
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  process.exitCode = await bootstrap(process.argv.slice(2));
