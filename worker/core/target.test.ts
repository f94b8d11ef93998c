import assert from "node:assert/strict";
import { test } from "node:test";
import type { BuildState } from "../../shared/builds.ts";
import type { ErlangTarget } from "../../shared/recipes/erlang.ts";
import { publicationKey } from "../../shared/recipes/index.ts";
import { PACKAGE, requestOf } from "../../test/support/build.ts";
import { virtualPorts } from "../../test/support/ports.ts";
import type { BuildRequest, BuildSummary, EnsureAnswer } from "./contracts.ts";
import { TargetCore } from "./target.ts";

/** A target whose builds are a map of states. */
function world() {
  const { sql, random } = virtualPorts();
  const builds = new Map<string, BuildState>();
  const calls: { id: string; request: BuildRequest }[] = [];
  const state = {
    published: null as string | null,
    /** By their keys; `published` is at every one. */
    publications: new Map<string, string>(),
    refusal: null as Extract<EnsureAnswer, { kind: "refused" }> | null,
    /** Runs before Build.ensure has any effect, or throws. */
    before: async (): Promise<void> => {},
  };
  const summary = (id: string): BuildSummary => ({
    build_id: id,
    state: builds.get(id) ?? "queued",
    class: null,
    reason: null,
    position: null,
    queue: null,
    attempt: 0,
    commit: null,
  });
  const ports = {
    sql,
    random,
    build: (id: string) => ({
      async ensure(given: string, request: BuildRequest): Promise<EnsureAnswer> {
        assert.equal(given, id);
        await null;
        await state.before();
        if (state.refusal && !builds.has(id)) return state.refusal;
        calls.push({ id, request });
        if (!builds.has(id)) builds.set(id, "queued");
        return { kind: "ok", build: summary(id) };
      },
      summary: async () => (builds.has(id) ? summary(id) : null),
    }),
    published: async (key: string) => {
      await null;
      return state.publications.get(key) ?? state.published;
    },
  };
  return {
    sql,
    builds,
    calls,
    state,
    core: new TargetCore(ports),
    again: () => new TargetCore(ports),
  };
}

test("a thousand requests of one target make one build, and all of them join it", async () => {
  const { core, builds, calls } = world();
  const answers = await Promise.all(
    Array.from({ length: 1_000 }, (_, i) => core.request(requestOf({ caller: `token:${i}` }))),
  );
  assert.equal(builds.size, 1);
  assert.equal(answers.filter(({ kind }) => kind === "admitted").length, 1);
  assert.equal(answers.filter(({ kind }) => kind === "joined").length, 999);
  assert.equal(new Set(calls.map(({ request }) => request.caller)).size, 1_000);
});

test("a published target is not built again", async () => {
  const { core, builds, state } = world();
  state.published = "a".repeat(32);
  const answers = await Promise.all([core.request(requestOf()), core.request(requestOf())]);
  assert.deepEqual(
    answers.map(({ kind }) => kind),
    ["published", "published"],
  );
  assert.equal(builds.size, 0);
});

test("after a failed build the next request starts a new one, and a success without files too", async () => {
  const { core, builds, state } = world();
  for (const [i, end] of (["failed", "cancelled", "succeeded"] as const).entries()) {
    const answer = await core.request(requestOf());
    assert.ok(answer.kind === "admitted");
    builds.set(answer.build.build_id, end);
    assert.equal(builds.size, i + 1);
  }
  state.published = [...builds.keys()].at(-1) as string;
  assert.equal((await core.request(requestOf())).kind, "published");
  assert.equal(builds.size, 3);
});

test("a package is built again although it was built before; a runtime system is not", async () => {
  const erts: ErlangTarget = {
    recipe: "erlang",
    asked: { kind: "erts" },
    erl: "27",
    visibility: "public",
  };
  for (const target of [PACKAGE, erts]) {
    const { core, builds, state } = world();
    const first = await core.request(requestOf({}, target));
    assert.ok(first.kind === "admitted");
    const { build_id } = first.build;
    const joined = await core.request(requestOf({ caller: "token:t2" }, target));
    assert.ok(joined.kind === "joined" && joined.build.build_id === build_id);
    builds.set(build_id, "succeeded");
    state.publications.set(publicationKey(target, build_id), build_id);
    const second = await core.request(requestOf({}, target));
    assert.equal(second.kind, target === erts ? "published" : "admitted");
  }
});

test("who asks again for the build that it opened gets that one, whatever became of it since", async () => {
  const { core, builds } = world();
  const mine = requestOf({ id: "1".repeat(32) });
  const first = await core.request(mine);
  assert.ok(first.kind === "admitted" && first.build.build_id === mine.id);
  for (const state of ["running", "succeeded", "failed"] as const) {
    builds.set(first.build.build_id, state);
    const again = await core.request(mine);
    assert.ok(again.kind === "joined" && again.build.build_id === mine.id);
  }
  const other = await core.request(requestOf({ id: "2".repeat(32) }));
  assert.equal(other.kind, "admitted");
  assert.equal(builds.size, 2);
});

test("a request during a build joins it, also after the object's restart", async () => {
  const { core, builds, again } = world();
  const first = await core.request(requestOf());
  const second = await again().request(requestOf({ caller: "token:t2" }));
  assert.ok(first.kind === "admitted" && second.kind === "joined");
  assert.equal(second.build.build_id, first.build.build_id);
  assert.equal(builds.size, 1);
});

test("a crash between the swap and the build is healed with the request that was stored", async () => {
  const { core, builds, calls, state, again } = world();
  state.before = async () => {
    throw new Error("the object died here");
  };
  await assert.rejects(core.request(requestOf({ caller: "token:first" })));
  assert.equal(builds.size, 0);
  state.before = async () => {};
  const answers = await Promise.all(
    [again()].flatMap((core) => [
      core.request(requestOf({ caller: "token:second" })),
      core.request(requestOf({ caller: "token:third" })),
    ]),
  );
  assert.deepEqual(
    answers.map(({ kind }) => kind),
    ["joined", "joined"],
  );
  assert.equal(builds.size, 1);
  assert.deepEqual(
    calls.map(({ request }) => request.caller),
    ["token:first", "token:second", "token:third"],
  );
});

test("a refused target leaves no trace, or the build it had before", async () => {
  const { core, sql, builds, state } = world();
  state.refusal = { kind: "refused", code: "rate_limited", retry_after_s: 5 };
  assert.deepEqual(await core.request(requestOf()), state.refusal);
  assert.deepEqual(sql.exec("SELECT name FROM sqlite_master"), []);
  assert.equal(await core.current(), null);
  state.refusal = null;
  const first = await core.request(requestOf());
  assert.ok(first.kind === "admitted");
  builds.set(first.build.build_id, "failed");
  state.refusal = { kind: "refused", code: "queue_full", retry_after_s: 5 };
  assert.equal((await core.request(requestOf())).kind, "refused");
  assert.equal((await core.current())?.build_id, first.build.build_id);
});

test("a full queue refuses all who came at once with one question to it", async () => {
  const { core, state } = world();
  let asked = 0;
  state.before = async () => {
    asked++;
  };
  state.refusal = { kind: "refused", code: "queue_full", retry_after_s: 5 };
  const answers = await Promise.all(
    Array.from({ length: 100 }, (_, i) => core.request(requestOf({ caller: `token:${i}` }))),
  );
  assert.ok(answers.every(({ kind }) => kind === "refused"));
  assert.equal(asked, 1);
});

test("one caller's rate does not refuse another caller", async () => {
  const { core, state, builds } = world();
  let first = true;
  state.refusal = { kind: "refused", code: "rate_limited", retry_after_s: 5 };
  state.before = async () => {
    if (!first) state.refusal = null;
    first = false;
  };
  const [one, same, other] = await Promise.all([
    core.request(requestOf({ caller: "token:1" })),
    core.request(requestOf({ caller: "token:1" })),
    core.request(requestOf({ caller: "token:2" })),
  ]);
  assert.deepEqual([one.kind, same.kind, other.kind], ["refused", "refused", "admitted"]);
  assert.equal(builds.size, 1);
});

test("the stored request holds no credential once the build has it", async () => {
  const { core, sql } = world();
  await core.request(requestOf({ credential: "sealed" }));
  assert.doesNotMatch(JSON.stringify(sql.exec("SELECT * FROM target")), /sealed/);
});

test("asking for the current build of an unknown target writes nothing", async () => {
  const { core, sql } = world();
  assert.equal(await core.current(), null);
  assert.deepEqual(sql.exec("SELECT name FROM sqlite_master"), []);
});
