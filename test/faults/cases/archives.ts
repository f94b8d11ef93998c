/** Area "artifacts", second part: what makefiles leave to be published, and what becomes of it in the bucket. */
import assert from "node:assert/strict";
import { ARCHIVE_ENTRIES } from "../../../shared/limits.ts";
import { archiveMembers } from "../../support/archive.ts";
import { loseFile } from "../../support/bucket.ts";
import type { FaultCase } from "../case.ts";
import { makefile, pathOf } from "../makefile.ts";

const MANY = 10_000;

export const cases: FaultCase[] = [
  {
    area: "artifacts",
    name: "the object is missing in R2: 404, and the next POST builds it again",
    quick: true,
    async run(world) {
      const { stack } = world;
      const path = await pathOf(world, makefile("echo whole >made.txt"));
      const before = await stack.build(path);
      assert.equal(before.record.state, "succeeded", before.record.reason ?? "");
      const [artifact] = before.record.artifacts;
      assert.ok(artifact);
      const file = new URL(artifact.url).pathname;
      const bytes = await stack.bytes(file);
      world.rebuilt.add(path).add(file);
      assert.equal(await loseFile(stack, before.id, artifact.name), 1);
      world.healed();
      for (const method of ["GET", "HEAD"])
        assert.equal((await stack.fetch(file, { method })).status, 404, method);
      const after = await stack.build(path);
      assert.notEqual(after.id, before.id);
      assert.equal(after.record.state, "succeeded", after.record.reason ?? "");
      assert.deepEqual(await stack.bytes(file), bytes, "the same source made other bytes");
    },
  },
  {
    area: "artifacts",
    name: "a makefile leaves links out, pipes, setuid bits and names that are trouble",
    quick: true,
    async run(world) {
      const { stack } = world;
      const path = await pathOf(
        world,
        makefile(String.raw`
          ln -s /etc/passwd password; ln -s ../../.. up; mkfifo pipe; mknod null c 1 3 || true
          echo x >su; chmod 6755 su; echo good >good; ln good twin
          printf 1 >"$$(printf 'new\nline')"; printf 2 >'quo"te'; printf 3 >"$$(printf 'bad\377utf8')"
          printf 4 >'ümlaut'; printf 5 >-rf; printf 6 >'back\slash'
        `),
      );
      const { record, log } = await stack.build(path);
      assert.equal(record.state, "succeeded", record.reason ?? "");
      const members = await archiveMembers(await stack.bytes(new URL(record.artifact).pathname));
      const names = ["-rf", "back_slash", "bad_utf8", "good", "new_line", 'quo"te', "su", "twin"];
      assert.deepEqual(members.map(({ name }) => name).sort(), [...names, "ümlaut"].sort());
      for (const { name, type, mode } of members) {
        assert.equal(type, "file", name);
        assert.equal(mode & 0o7022, 0, `${name} has mode ${mode.toString(8)}`);
      }
      assert.ok(log.some(({ msg }) => msg.startsWith("Left out of the archive: ")));
    },
  },
  {
    area: "artifacts",
    name: "a makefile leaves ten thousand files",
    quick: false,
    async run(world) {
      const { stack } = world;
      const path = await pathOf(world, makefile(`mkdir many; cd many; seq ${MANY} | xargs touch`));
      const { record } = await stack.build(path);
      assert.equal(record.state, "succeeded", record.reason ?? "");
      const bytes = await stack.bytes(new URL(record.artifact).pathname);
      assert.equal((await archiveMembers(bytes)).length, MANY);
    },
  },
  {
    area: "artifacts",
    name: "a makefile leaves bombs: holes of three gigabytes, too many files",
    quick: false,
    async run(world) {
      const bombs: [script: string, class_: string][] = [
        ["truncate -s 3G bomb", "artifact_too_large"],
        [`mkdir many; cd many; seq ${ARCHIVE_ENTRIES + 1} | xargs touch`, "artifact_too_large"],
      ];
      for (const [script, class_] of bombs) {
        const { record } = await world.stack.build(await pathOf(world, makefile(script)));
        assert.equal(record.class, class_, script);
        assert.deepEqual(record.artifacts, []);
      }
    },
  },
];
