import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";

let root: string;

/** Installs what package-lock.json asks for, without y, which is for another platform; and this Node.js. */
const NPM = `
const { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } = require("node:fs");
console.log("npm " + process.argv.slice(2).join(" "));
const { packages } = JSON.parse(readFileSync("package-lock.json", "utf8"));
delete packages["node_modules/y"];
mkdirSync("node_modules/.bin", { recursive: true });
rmSync("node_modules/.bin/node", { force: true });
symlinkSync(process.execPath, "node_modules/.bin/node");
writeFileSync("node_modules/.package-lock.json", JSON.stringify({ packages }));
`;

before(async () => {
  root = await mkdtemp(join(tmpdir(), "railhead-bootstrap-"));
  await mkdir(join(root, "cli"));
  await copyFile(join(import.meta.dirname, "bootstrap.mjs"), join(root, "cli/bootstrap.mjs"));
  await writeFile(
    join(root, "cli/main.ts"),
    "console.log('main', ...process.argv.slice(2)); process.exit(Number(process.argv[2]));",
  );
  await writeFile(join(root, "npm.cjs"), NPM);
  await lock("1.0.0");
});
after(() => rm(root, { recursive: true }));

async function lock(version: string): Promise<void> {
  const packages = {
    "": { version: "0.1.0" },
    "node_modules/x": { version },
    "node_modules/y": { version, optional: true },
  };
  await writeFile(join(root, "package-lock.json"), JSON.stringify({ packages }));
}

async function bootstrap(...args: string[]) {
  const child = spawn(process.execPath, [join(root, "cli/bootstrap.mjs"), ...args], {
    env: { ...process.env, npm_execpath: join(root, "npm.cjs") },
  });
  const [out, err, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "close"),
  ]);
  return { out, installed: err.includes("npm ci"), code };
}

test("packages are installed when they are missing or others are asked for, and only then", async () => {
  assert.deepEqual(await bootstrap("0", "a b"), { out: "main 0 a b\n", installed: true, code: 0 });
  assert.deepEqual(await bootstrap("0"), { out: "main 0\n", installed: false, code: 0 });
  await lock("1.0.1");
  assert.deepEqual(await bootstrap("0"), { out: "main 0\n", installed: true, code: 0 });
});

test("the exit status is the program's own", async () => {
  assert.equal((await bootstrap("3")).code, 3);
});
