import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { dotenv } from "./edge.ts";
import { endProcesses, mark, processesOf, startOf } from "./processes.ts";
import {
  loadSecrets,
  loadSettings,
  lockState,
  makeState,
  readDevVars,
  shellVariables,
} from "./state.ts";

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "railhead-state-"));
  await makeState(folder);
});
after(() => rm(folder, { recursive: true }));

test("secrets are made once, kept for their owner alone, and those given win", async () => {
  const made = await loadSecrets(folder, {}, {});
  assert.match(made.RAILHEAD_TOKEN, /^rh_[0-9a-f]{64}$/);
  assert.equal((await stat(join(folder, "secrets.json"))).mode & 0o777, 0o600);
  assert.deepEqual(await loadSecrets(folder, {}, {}), made);
  const given = await loadSecrets(
    folder,
    { RAILHEAD_TOKEN: "from the environment", GIT_SECRET: "hook", RAILHEAD_MAIL_TOKEN: "mail" },
    {
      RAILHEAD_TOKEN: "from .dev.vars",
      OTHER: "x",
      RAILHEAD_POOLS: "go=fast",
      RAILHEAD_MAIL_URL: "https://mail.example",
    },
  );
  assert.deepEqual(given, {
    RAILHEAD_TOKEN: "from the environment",
    RAILHEAD_SECRET: made.RAILHEAD_SECRET,
    GIT_SECRET: "hook",
    RAILHEAD_MAIL_TOKEN: "mail",
    OTHER: "x",
  });
  assert.deepEqual(loadSettings({ RAILHEAD_QUEUE_LIMIT: "5" }, { RAILHEAD_POOLS: "go=fast" }), {
    RAILHEAD_QUEUE_LIMIT: "5",
    RAILHEAD_POOLS: "go=fast",
  });
  assert.deepEqual(await loadSecrets(folder, {}, {}), made);

  const file = join(folder, "dev.vars");
  await writeFile(file, "# copied, and half filled in\nRAILHEAD_TOKEN=\nGIT_SECRET='hook'\n");
  assert.deepEqual(readDevVars(file), { GIT_SECRET: "hook" });
  assert.deepEqual(readDevVars(join(folder, "none")), {});
});

test("a shell that sources the variables gets them byte for byte", async () => {
  const values = { A: "plain", B: 'it\'s $HOME `x` \\ "quoted"', C: "a b=c\nd" };
  const file = join(folder, "env");
  await writeFile(file, shellVariables(values));
  const script = `. ${file}; printf '%s\\0%s\\0%s' "$A" "$B" "$C"`;
  const { stdout } = await promisify(execFile)("sh", ["-c", script]);
  assert.deepEqual(stdout.split("\0"), Object.values(values));
});

test("a secret that cannot be passed to the Worker byte for byte is refused", () => {
  assert.equal(dotenv({ A: "$5", B: "it's" }), `A='$5'\nB="it's"\n`);
  for (const value of ["a\nb", "a\\b", "'\"`"])
    assert.throws(() => dotenv({ A: value }), /choose another secret/);
});

test("two stacks never share a folder, and a dead one leaves it free", async () => {
  const unlock = await lockState(folder);
  await assert.rejects(lockState(folder), /A stack is running on/);
  unlock();
  (await lockState(folder))();

  const dead = spawn(process.execPath, ["-e", ""]);
  await once(dead, "exit");
  const lock = { pid: dead.pid, started: "1", parent: 1 };
  await writeFile(join(folder, "lock"), JSON.stringify(lock));
  (await lockState(folder))();
  await writeFile(join(folder, "lock"), "{");
  (await lockState(folder))();
});

test("what a stack started is found and ended, children of the dead included; nothing else is", async () => {
  const script = 'trap "" TERM; sleep 1000 & echo $!; wait; sleep 1000';
  const stranger = spawn("sleep", ["1000"]);
  const shell = spawn("sh", ["-c", script], {
    env: { ...process.env, ...mark(folder, "part") },
    stdio: ["ignore", "pipe", "ignore"],
  });
  const grandchild = Number(String((await once(shell.stdout, "data"))[0]).trim());
  assert.deepEqual(processesOf(folder).sort(), [shell.pid as number, grandchild].sort());
  assert.deepEqual(processesOf(folder, "another part"), []);
  shell.kill("SIGKILL");
  await once(shell, "exit");
  assert.deepEqual(processesOf(folder), [grandchild]);
  await endProcesses(folder, 200);
  assert.deepEqual(processesOf(folder), []);
  assert.equal(startOf(grandchild), null);
  assert.notEqual(startOf(stranger.pid as number), null);
  stranger.kill("SIGKILL");
});

test("the lock is the holder's own", async () => {
  const unlock = await lockState(folder);
  const lock = JSON.parse(await readFile(join(folder, "lock"), "utf8"));
  assert.equal(lock.pid, process.pid);
  unlock();
});
