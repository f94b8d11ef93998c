import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { disk } from "./disk.ts";
import { type Assignment, Journal, type Note } from "./journal.ts";

const folder = mkdtempSync(join(tmpdir(), "railhead-journal-"));
after(() => rmSync(folder, { recursive: true }));

const ASSIGNMENT: Assignment = {
  build: "a".repeat(32),
  attempt: 2,
  target: {
    recipe: "go",
    remote: "git.example",
    path: ["owner", "repo"],
    goos: "linux",
    goarch: "amd64",
    version: "v1.0.0",
    make: null,
    commit: "b".repeat(40),
    visibility: "public",
    advertised: true,
  },
  lease: "l".repeat(32),
  deadline_ms: 60_000,
  accepted_at: 12.5,
  boot: "boot",
};

const NOTES: Note[] = [
  { t: "phase", name: "fetch", at: 1 },
  { t: "run", phase: "fetch", at: 1 },
  { t: "created", phase: "fetch", id: "c1" },
  { t: "run_done", phase: "fetch", ms: 7, exit: { code: 0, oom: false, killed: null } },
  { t: "phase_done", name: "fetch", ms: 9, result: { modules: true } },
  { t: "phase", name: "build", at: 10 },
];

test("an assignment that the disk does not take leaves no folder behind", async () => {
  const root = join(folder, "full");
  const full = () => Promise.reject(new Error("ENOSPC: no space left on device"));
  const creating = Journal.create({ ...disk, writeWhole: full }, root, ASSIGNMENT);
  await assert.rejects(creating, /ENOSPC/);
  assert.deepEqual(await disk.names(root), []);
});

test("a journal read after a crash at any byte holds exactly the notes that were whole", async () => {
  const root = join(folder, "cut");
  const journal = await Journal.create(disk, root, ASSIGNMENT);
  for (const note of NOTES) await journal.write(note);
  journal.close();
  const file = join(journal.folder, "phases.jsonl");
  const bytes = readFileSync(file);
  for (let cut = 0; cut <= bytes.length; cut++) {
    writeFileSync(file, bytes.subarray(0, cut));
    const [again] = await Journal.loadAll(disk, root);
    const whole = bytes.subarray(0, cut).toString().split("\n").length - 1;
    assert.deepEqual(again?.assignment, ASSIGNMENT);
    assert.equal(again.find("phase", (note) => note.name === "build") !== undefined, whole === 6);
    await again.write({ t: "upload", name: "x", id: "after" });
    again.close();
    const [third] = await Journal.loadAll(disk, root);
    assert.equal(third?.find("upload")?.id, "after");
    assert.deepEqual(again.timings(), whole >= 5 ? { fetch: 9 } : whole >= 4 ? { fetch: 7 } : {});
  }
});

test("the assignment, which holds the lease, is for its owner alone", async () => {
  const journal = await Journal.create(disk, join(folder, "mode"), ASSIGNMENT);
  assert.equal(statSync(join(journal.folder, "assign.json")).mode & 0o777, 0o600);
  assert.equal(statSync(journal.folder).mode & 0o777, 0o700);
});

test("a folder whose assignment was torn by a crash is removed", async () => {
  const root = join(folder, "torn");
  mkdirSync(join(root, "x-1"), { recursive: true });
  writeFileSync(join(root, "x-1", "assign.json"), '{"build":"');
  assert.deepEqual(await Journal.loadAll(disk, root), []);
  assert.throws(() => statSync(join(root, "x-1")));
});

test("an attempt whose journal was being removed in a crash does not come back", async () => {
  const root = join(folder, "removing");
  const died = () => Promise.reject(new Error("killed"));
  const removing = {
    ...disk,
    remove: (path: string) => (path.endsWith("-2") ? died() : disk.remove(path)),
  };
  const journal = await Journal.create(removing, root, ASSIGNMENT);
  await assert.rejects(journal.remove(), /killed/);
  assert.deepEqual(await Journal.loadAll(disk, root), []);
  assert.deepEqual(await disk.names(root), []);
});

test("a removed journal leaves nothing", async () => {
  const root = join(folder, "gone");
  const journal = await Journal.create(disk, root, ASSIGNMENT);
  await journal.write({ t: "phase", name: "fetch", at: 1 });
  await journal.remove();
  assert.deepEqual(await Journal.loadAll(disk, root), []);
});
