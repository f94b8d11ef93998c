import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import {
  askedOf,
  cloneUrl,
  type ErlangWorld,
  factsOf,
  literal,
  openErlangWorld,
  refusal,
  succeed,
} from "./erlang.ts";
import { FAILED } from "./workshop.ts";

/** What curl says of the text behind its -d. */
const AS_CURL = { "content-type": "application/x-www-form-urlencoded" };
const DATE = /^\d{4}-\d\d-\d\d \d\d:\d\d$/;

describe("what coon's clients ask for", { timeout: 180_000 }, () => {
  let world: ErlangWorld;

  before(async () => {
    world = await openErlangWorld();
  });
  after(() => world.close());

  describe("POST /buildAsync", () => {
    test("answers before the repository is contacted: what was asked for, and a build for each version", async () => {
      const request = {
        full_name: world.newName(),
        // Nothing listens there.
        clone_url: "https://other.example/ada/gone.git",
        versions: [{ ref: "1.0.0", erl_version: "27" }, { ref: "2.0.0" }],
        notify_email: false,
      };
      const answer = await world.post("/buildAsync", { ...request, ref_type: "tag", more: [1] });
      assert.equal(answer.headers.get("content-type"), "application/json");
      const response = await world.good<{ build_ids: string[] }>(answer);
      assert.deepEqual(response, { ...request, build_ids: response.build_ids });
      assert.equal(response.build_ids.length, 2);
      const asked = [];
      for (const id of response.build_ids) {
        const { attempt } = await world.taken(id);
        asked.push(askedOf(attempt));
        await attempt.finish(FAILED);
      }
      const source = { remote: "other.example", path: ["ada", "gone"], notify: false, depth: 0 };
      const [namespace, name] = request.full_name.split("/");
      assert.deepEqual(asked, [
        { kind: "package", ...source, namespace, name, ref: "1.0.0", erl: "27" },
        { kind: "package", ...source, namespace, name, ref: "2.0.0", erl: null },
      ]);
    });

    test("takes one version without an array, and none, null and empty ones for the newest tag", async () => {
      const wanted = async (versions: unknown) => {
        const full_name = world.newName();
        const order = { full_name, clone_url: cloneUrl(full_name), versions };
        const { build_ids } = await world.good<{ build_ids: string[] }>(
          world.post("/buildAsync/", order, AS_CURL),
        );
        const { attempt } = await world.taken(build_ids[0] as string);
        const { ref, erl, notify } = askedOf(attempt);
        await attempt.finish(FAILED);
        return { ref, erl, notify, builds: build_ids.length };
      };
      const one = { notify: true, builds: 1 };
      assert.deepEqual(await wanted({ ref: "1.0.0", erl_version: "25" }), {
        ...one,
        ref: "1.0.0",
        erl: "25",
      });
      for (const none of [undefined, null, [], {}, [{}], { ref: "", erl_version: "" }])
        assert.deepEqual(await wanted(none), { ...one, ref: null, erl: null });
    });

    test("joins the build that runs, and builds anew what has ended", async () => {
      const full_name = world.newName();
      const { id, attempt } = await world.ordered(full_name);
      const order = { full_name, clone_url: cloneUrl(full_name) };
      const versions = [{ ref: "1.0.0", erl_version: "27" }];
      const again = () =>
        world.good<{ build_ids: string[] }>(world.post("/buildAsync", { ...order, versions }));
      assert.deepEqual((await again()).build_ids, [id]);
      await succeed(attempt, Buffer.from("one"));
      await world.listed(id);
      const [next] = (await again()).build_ids;
      assert.notEqual(next, id);
      await (await world.taken(next as string)).attempt.finish(FAILED);
    });

    test("a name that another repository has is refused in coon's words, whatever the scheme", async () => {
      const full_name = world.newName();
      const [namespace, name] = full_name.split("/");
      const url = cloneUrl(full_name);
      await world.built(full_name);
      const mine = "https://git.example/eve/mine.git";
      for (const path of ["/buildAsync", "/buildSync"])
        assert.equal(
          await refusal(world.post(path, { full_name, clone_url: mine })),
          `Validation failed: Request RepositoryDTO{fullName='${full_name}', cloneUrl='${mine}'} tries to overwrite ` +
            `Repository{url='${url}', name='${name}', namespace='${namespace}'}`,
        );
      const forms = [`http://git.example/${full_name}`, `git@git.example:${full_name}.git`];
      for (const clone_url of forms) {
        const { build_ids } = await world.good<{ build_ids: string[] }>(
          world.post("/buildAsync", { full_name, clone_url, versions: { ref: "1.0.0" } }),
        );
        await (await world.taken(build_ids[0] as string)).attempt.finish(FAILED);
      }
    });

    test("a name that is none is refused in coon's words", async () => {
      for (const full_name of ["package", "", "a/b/c", "../b", "a/-b"])
        for (const path of ["/buildAsync", "/buildSync", "/builds", "/versions", "/get"])
          assert.equal(
            await refusal(world.post(path, { full_name, clone_url: cloneUrl("a/b") })),
            `Validation failed: Wrong fullname format: ${full_name}`,
          );
    });

    test("a URL that nothing is built from is refused, and says what is", async () => {
      const order = (clone_url: string) =>
        refusal(world.post("/buildAsync", { full_name: "ada/refused", clone_url }));
      assert.match(String(await order("https://evil.example/a/b")), /Allowed: git\.example/);
      const credential = String(await order("https://user:secret@git.example/a/b"));
      assert.match(credential, /holds a credential/);
      assert.doesNotMatch(credential, /secret/);
      for (const url of ["", "/etc/passwd", "file:///etc/passwd", "https://git.example/a"])
        assert.match(String(await order(url)), /^Validation failed: The clone URL /);
    });
  });

  describe("POST /buildSync", () => {
    const sync = (full_name: string, versions: unknown) =>
      world.post("/buildSync", { full_name, clone_url: cloneUrl(full_name), versions });

    test("answers true when the package can be had, and each further Erlang version of it", async () => {
      const full_name = world.newName();
      const [namespace = "", name = ""] = full_name.split("/");
      const answer = sync(full_name, [{ ref: "1.0.0" }]);
      const first = await world.agent.attempt();
      const source = { remote: "git.example", path: [namespace, name], namespace, name };
      const follow = [{ ...source, ref: "1.0.0", erl: "25", why: "version" as const }];
      await succeed(first, Buffer.from("27"), { follow });
      const second = await world.agent.attempt();
      assert.equal(askedOf(second).erl, "25");
      await succeed(second, Buffer.from("25"));
      assert.deepEqual(await (await answer).json(), { result: true, response: true });
      const found = await world.builds({ full_name });
      assert.deepEqual(
        found.map(({ build_id, result }) => [build_id, result]),
        [
          [second.build, true],
          [first.build, true],
        ],
      );
    });

    test("says of each failed build what it printed last, or why it failed", async () => {
      const full_name = world.newName();
      const answer = sync(full_name, [{ ref: "1.0.0" }, { ref: "2.0.0" }, { ref: "3.0.0" }]);
      const loud = await world.agent.attempt();
      await loud.say(["compiling"]);
      await loud.say(["src/a.erl:1: syntax error", "make: *** failed"], "stderr");
      await loud.finish(FAILED);
      const clear = await world.agent.attempt();
      await clear.say(["src/b.erl:1: oh"], "stderr");
      await clear.finish({ ...FAILED, reason: "src/b.erl:1: oh." });
      await succeed(await world.agent.attempt(), Buffer.from("3"));
      assert.equal(
        await refusal(answer),
        "build failed: src/a.erl:1: syntax error\nmake: *** failed\nno.\nbuild failed: src/b.erl:1: oh",
      );
    });

    test("after the time that the caller would wait it says where the build goes on", async () => {
      const full_name = world.newName();
      const answer = world.post("/buildSync?wait=1", { full_name, clone_url: cloneUrl(full_name) });
      const attempt = await world.agent.attempt();
      assert.equal(
        await refusal(answer),
        `Not built yet after 1 s. It goes on: see ${world.edge.url}/builds/${attempt.build}, or ask POST /builds later.`,
      );
      await attempt.finish(FAILED);
      assert.match(String(await refusal(world.post("/buildSync?wait=soon", {}))), /whole seconds/);
    });
  });

  describe("GET /search, POST /builds, POST /versions, GET /last_builds", () => {
    test("search finds by name, namespace, version and Erlang, failed builds too, the newest first", async () => {
      const full_name = world.newName();
      const [namespace, name] = full_name.split("/");
      const first = await world.built(full_name, "1.0.0", "27");
      const second = await world.built(full_name, "1.0.0", "25");
      const broken = await world.ordered(full_name, "2.0.0", "27");
      await broken.attempt.finish({ ...FAILED, package: factsOf(broken.attempt, { app: null }) });
      await world.listed(broken.id);
      const found = await world.search(`name=${name}`);
      for (const { build_date } of found) assert.match(build_date, DATE);
      const entry = (build_id: string, version: string, erl_version: string) => ({
        build_id,
        namespace,
        name,
        success: true,
        path: `/download/${build_id}`,
        build_date: found[0]?.build_date,
        version,
        erl_version,
      });
      assert.deepEqual(
        found.map((one) => ({ ...one, build_date: found[0]?.build_date })),
        [
          {
            ...entry(broken.id, "2.0.0", "27"),
            success: false,
            path: `/build_log?build_id=${broken.id}`,
          },
          entry(second, "1.0.0", "25"),
          entry(first, "1.0.0", "27"),
        ],
      );
      const ids = async (query: string) =>
        (await world.search(query)).map(({ build_id }) => build_id);
      assert.deepEqual(await ids(`name=${name}&version=1.0.0&erl_version=25`), [second]);
      assert.deepEqual(await ids(`name=${name}&namespace=${namespace}&erl_version=27`), [
        broken.id,
        first,
      ]);
      assert.equal((await ids(`name=${name}&namespace=&version=&erl_version=`)).length, 3);
      assert.deepEqual(await ids(`name=${name}&namespace=eve`), []);
      assert.deepEqual(await ids(`name=${name?.toUpperCase()}`), []);
      assert.equal((await world.edge.call(`/search/?name=${name}`)).status, 200);
      assert.ok((await ids("name=")).includes(first));
      assert.equal(
        await refusal(world.edge.call("/search?namespace=ada")),
        'Validation failed: "name" is missing from the query.',
      );
    });

    test("builds lists every build with its outcome, and only what came out well when asked so", async () => {
      const full_name = world.newName();
      const good = await world.built(full_name, "1.0.0", "27");
      const broken = await world.ordered(full_name, "1.0.0", "25");
      await broken.attempt.finish(FAILED);
      await world.listed(broken.id);
      const all = await world.builds({ full_name });
      const date = all[0]?.created_date ?? 0;
      assert.ok(Math.abs(Date.now() - date) < 60_000, `${date}`);
      assert.deepEqual(all, [
        {
          build_id: broken.id,
          result: false,
          message: "no.",
          artifact_path: null,
          created_date: date,
        },
        {
          build_id: good,
          result: true,
          message: "",
          artifact_path: `/download/${good}`,
          created_date: all[1]?.created_date,
        },
      ]);
      const ids = async (body: object, query = "") =>
        (await world.builds({ full_name, ...body }, query)).map(({ build_id }) => build_id);
      assert.deepEqual(await ids({}, "?success=true"), [good]);
      assert.deepEqual(await ids({ versions: { ref: "1.0.0", erl_version: "27" } }), [good]);
      assert.deepEqual(await ids({ versions: [{ ref: "", erl_version: "" }] }), [broken.id, good]);
      assert.deepEqual(await ids({ versions: [{ ref: "9" }, { erl_version: "25" }] }), [broken.id]);
      assert.deepEqual(await ids({ versions: [{ ref: "9" }] }), []);
      assert.deepEqual(await world.builds({ full_name: "eve/nothing" }), []);
    });

    test("versions lists what can be had, the newest first, with both names of its id", async () => {
      const full_name = world.newName();
      await world.built(full_name, "1.0.0", "25");
      await world.built(full_name, "1.0.0", "27");
      await world.built(full_name, "2.0.0", "27");
      const broken = await world.ordered(full_name, "3.0.0", "27");
      await broken.attempt.finish(FAILED);
      await world.listed(broken.id);
      type Version = { version_id: string; versionId: string; ref: string; erl_version: string };
      const versions = (body: object) =>
        world.good<Version[]>(world.post("/versions", { full_name, ...body }));
      const all = await versions({});
      assert.deepEqual(
        all.map(({ ref, erl_version }) => [ref, erl_version]),
        [
          ["2.0.0", "27"],
          ["1.0.0", "27"],
          ["1.0.0", "25"],
        ],
      );
      for (const version of all) assert.equal(version.version_id, version.versionId);
      assert.equal(new Set(all.map(({ version_id }) => version_id)).size, 3);
      assert.deepEqual(await versions({ versions: { ref: "1.0.0" } }), all.slice(1));
      await world.built(full_name, "1.0.0", "25");
      const rebuilt = await versions({ versions: { ref: "1.0.0", erl_version: "25" } });
      assert.deepEqual(rebuilt, [all[2]]);
    });

    test("last_builds lists as many as asked, and two packages with one tag are two", async () => {
      const names = [world.newName(), world.newName()];
      const ids: string[] = [];
      for (const name of names) ids.unshift(await world.built(name, "5.5.5"));
      const last = await world.good<{ build_id: string; success: boolean }[]>(
        world.edge.call("/last_builds?n=2"),
      );
      assert.deepEqual(
        last.map(({ build_id, success }) => [build_id, success]),
        ids.map((id) => [id, true]),
      );
      assert.deepEqual(await world.good(world.edge.call("/last_builds/?n=0")), []);
      assert.ok((await world.good<[]>(world.edge.call("/last_builds?n=999999999"))).length > 2);
      for (const n of ["", "?n=", "?n=-1", "?n=two", "?n=1.5", "?n=1e3"])
        assert.match(String(await refusal(world.edge.call(`/last_builds${n}`))), /"n" is /);
    });

    test("what is no package is in none of these lists", async () => {
      const posted = await world.post("/api/v1/build", {
        image_name: "registry.example/team/app",
        dockerfile: "FROM scratch\n",
      });
      const { JobIdentifier: job } = (await posted.json()) as { JobIdentifier: string };
      const image = await world.agent.attempt();
      await image.finish({ outcome: "succeeded", digest: `sha256:${"d".repeat(64)}` });
      const lists = [await world.search("name="), await world.search("name=app")].flat();
      const last = await world.good<{ build_id: string }[]>(world.edge.call("/last_builds?n=500"));
      for (const { build_id } of [...lists, ...last]) assert.notEqual(build_id, image.build);
      assert.equal(await literal(world.edge.call(`/build_log?build_id=${job}`)), "No build for id");
      assert.equal(await literal(world.edge.call(`/download/${job}`)), "No build for id");
      assert.equal(
        await refusal(world.post("/rebuild", { build_id: job })),
        "Validation failed: No such build!",
      );
    });
  });
});
