import assert from "node:assert/strict";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, describe, test } from "node:test";
import type { RepositoryCommit, RepositoryFile } from "../cli/dev/repository.ts";
import { inspectAll, labelled } from "../test/support/engine.ts";
import {
  type BuildRequest,
  type Ended,
  type GoWorld,
  goWorld,
  REMOTE,
  said,
} from "../test/support/go-world.ts";
import { goRecipe } from "./recipes/go.ts";
import { CACHE_LABEL } from "./recipes/go-caches.ts";

const SECRET = "s3same-0pen";
const READER = { user: "ada", password: SECRET };
const RIGHT = `Basic ${Buffer.from(`ada:${SECRET}`).toString("base64")}`;
const WRONG = `Basic ${Buffer.from("ada:wr0ng-guess").toString("base64")}`;

/** A pattern that finds a word, but not itself. */
function pattern(word: string): string {
  return `${word.slice(0, -1)}[${word.slice(-1)}]`;
}

/** Looks for the credential wherever a build could, and tells of its checkout. No Go in it, so that it is quick. */
const spy: Record<string, RepositoryFile> = {
  Makefile: `all:
\t@env | grep -ci authorization; true
\t@grep -rlsE '${pattern(SECRET)}|${pattern(RIGHT.slice(6).replace(/=+$/, ""))}' /build /modcache /gocache /tmp /proc/*/environ /proc/*/cmdline; true
\t@echo "describe $$(git describe --tags)"
\t@cat .git/config
\t@ls lib 2>/dev/null; true
\techo made >made.txt
`,
};

function submodule(url: string, commit: string): Record<string, RepositoryFile> {
  return {
    ".gitmodules": `[submodule "lib"]\n\tpath = lib\n\turl = ${url}\n`,
    lib: { submodule: commit },
  };
}

describe("fetching a repository", { concurrency: false }, () => {
  let world: GoWorld;
  let secret: string;
  let library: string;

  before(async () => {
    world = await goWorld({
      git: {
        credentials: { "ada/secret": [READER], "ada/library": [READER], "ada/module": [READER] },
      },
      settings: { goproxy: "direct", goprivate: REMOTE },
    });
    [secret = ""] = await world.repository("ada/secret", [
      { files: spy, tag: "v1", annotated: true },
    ]);
    [library = ""] = await world.repository("ada/library", [
      { files: { "lib.txt": "lib" }, tag: "v1" },
    ]);
  });
  after(() => world[Symbol.asyncDispose]());

  async function built(
    request: Partial<BuildRequest> & { path: string; commit: string },
    look: (ended: Ended) => Promise<void> | void,
  ): Promise<void> {
    const ended = await world.build({ version: "v1", ...request });
    try {
      await look(ended);
    } finally {
      await world.clean(ended);
    }
  }

  function output({ log }: Ended): string {
    return log.flatMap(({ msg, stream }) => (stream === undefined ? [] : [msg])).join("\n");
  }

  async function one(path: string, files: RepositoryCommit["files"]): Promise<string> {
    const [commit] = await world.repository(path, [{ files, tag: "v1" }]);
    return commit as string;
  }

  test("with the right credential works, and leaves no trace of it", async () => {
    const request = { path: "ada/secret", commit: secret, visibility: "private" as const };
    await built({ ...request, credentials: [WRONG, RIGHT] }, async (ended) => {
      assert.equal(ended.failure, null);
      assert.deepEqual(ended.repositories, [`${REMOTE}/ada/secret`]);
      assert.match(output(ended), /^0\ndescribe v1$/m);
      const seen =
        JSON.stringify(ended) + (await inspectAll(`railhead.build=${ended.owner.build}`));
      for (const word of [SECRET, RIGHT.slice(6), "wr0ng-guess", WRONG.slice(6)])
        assert.equal(seen.includes(word), false);
      assert.match(output(ended), /url = https:\/\/git\.example\/ada\/secret\.git/);
    });
  });

  test("with a wrong credential or none is a clone error that says what to check", async () => {
    const request = { path: "ada/secret", commit: secret, visibility: "private" as const };
    for (const credentials of [[WRONG], []])
      await built({ ...request, credentials }, (ended) => {
        assert.equal(ended.failure?.class, "clone_error");
        assert.match(ended.failure?.message ?? "", /Check that the token may read the repository/);
        assert.match(said(ended).at(-1) ?? "", /^git clone error: fatal: /);
        assert.equal(JSON.stringify(ended).includes("wr0ng-guess"), false);
        assert.equal(JSON.stringify(ended).includes(WRONG.slice(6)), false);
      });
  });

  test("of a public target never shows anybody's credential to the git host", async () => {
    const commit = await one("ada/open", spy);
    const before = world.git.requests.length;
    await built({ path: "ada/open", commit, credentials: [RIGHT] }, (ended) => {
      assert.equal(ended.failure, null);
      assert.deepEqual(ended.repositories, []);
      const asked = world.git.requests.slice(before);
      assert.ok(asked.length > 0);
      assert.ok(asked.every(({ authorization }) => authorization === null));
    });
  });

  test("brings submodules, with the credential only where it is needed, and names whom it was for", async () => {
    const files = { ...spy, ...submodule("../library.git", library) };
    const [commit = ""] = await world.repository("ada/secret", [{ files, tag: "v2" }]);
    const request = { path: "ada/secret", version: "v2", commit, visibility: "private" as const };
    await built({ ...request, credentials: [WRONG, RIGHT] }, (ended) => {
      assert.equal(ended.failure, null);
      assert.match(output(ended), /^lib\.txt$/m);
      assert.deepEqual(ended.repositories, [`${REMOTE}/ada/library`, `${REMOTE}/ada/secret`]);
    });
    const open = await one("ada/open-with-secret-part", files);
    await built(
      { path: "ada/open-with-secret-part", commit: open, credentials: [RIGHT] },
      (ended) => {
        assert.equal(ended.failure?.class, "clone_error");
        assert.match(ended.failure?.message ?? "", /submodule/);
      },
    );
  });

  test("takes an absolute submodule address by the operator's map of hosts", async () => {
    const part = await one("ada/part", { "part.txt": "x" });
    const commit = await one("ada/whole", {
      ...spy,
      ...submodule(`https://${REMOTE}/ada/part`, part),
    });
    await built({ path: "ada/whole", commit }, (ended) => {
      assert.equal(ended.failure, null);
      assert.match(output(ended), /^part\.txt$/m);
    });
  });

  test("refuses submodules that lie on the host or at its other services", async () => {
    const requests: IncomingHttpHeaders[] = [];
    const service = createServer((request, response) => {
      requests.push(request.headers);
      response.writeHead(404).end();
    });
    await new Promise<void>((resolve) => service.listen(0, "127.0.0.1", resolve));
    const { port } = service.address() as AddressInfo;
    try {
      const urls = ["file:///etc", "/etc", "ext::sh -c id", `http://127.0.0.1:${port}/x.git`];
      for (const [i, url] of urls.entries()) {
        const path = `ada/sly-${i}`;
        const commit = await one(path, { ...spy, ...submodule(url, library) });
        await built({ path, commit }, ({ failure }) =>
          assert.equal(failure?.class, "clone_error", url),
        );
      }
      assert.deepEqual(requests, []);
    } finally {
      service.close();
    }
  });

  test("keeps a credential to itself when the git host redirects", async () => {
    const seen: (string | undefined)[] = [];
    const elsewhere = createServer((request, response) => {
      seen.push(request.headers.authorization);
      response.writeHead(404).end();
    });
    await new Promise<void>((resolve) => elsewhere.listen(0, "127.0.0.1", resolve));
    const away = `http://127.0.0.1:${(elsewhere.address() as AddressInfo).port}`;
    const moved = createServer((request, response) => {
      response.writeHead(301, { location: `${away}${request.url}` }).end();
    });
    await new Promise<void>((resolve) => moved.listen(0, "127.0.0.1", resolve));
    const base = `http://127.0.0.1:${(moved.address() as AddressInfo).port}`;
    try {
      const recipe = goRecipe({ ...world.settings, remotes: { [REMOTE]: base } });
      const request = { path: "ada/secret", commit: secret, visibility: "private" as const };
      await built({ ...request, credentials: [RIGHT], recipe }, ({ failure }) => {
        assert.equal(failure?.class, "clone_error");
        assert.match(failure?.message ?? "", /redirects/);
      });
      assert.deepEqual(seen, []);
    } finally {
      moved.close();
      elsewhere.close();
    }
  });

  test("builds the commit that was resolved, though its tag was moved meanwhile", async () => {
    const first = await one("ada/moving", spy);
    await world.repository("ada/moving", [{ files: { ...spy, "later.txt": "" }, tag: "v1" }]);
    await built({ path: "ada/moving", commit: first }, (ended) => {
      assert.equal(ended.failure, null);
      assert.match(output(ended), /^describe v1$/m);
      assert.match(said(ended).join("\n"), /The tag v1 was moved meanwhile/);
      assert.equal(ended.log.find(({ msg }) => /moved/.test(msg))?.level, "warning");
    });
  });

  test("works for a commit that has no tag, and for a tag that is gone", async () => {
    const [old = ""] = await world.repository("ada/untagged", [
      { files: spy },
      { files: { x: "" } },
    ]);
    await built({ path: "ada/untagged", version: old, commit: old }, ({ failure }) =>
      assert.equal(failure, null),
    );
    await built({ path: "ada/untagged", version: "v7", commit: old }, (ended) => {
      assert.equal(ended.failure, null);
      assert.match(output(ended), /^describe v7$/m);
    });
  });

  test("says so when the commit is gone, or the repository", async () => {
    const commit = "1".repeat(40);
    await built({ path: "ada/open", version: commit, commit }, ({ failure }) => {
      assert.equal(failure?.class, "no_such_version");
      assert.match(failure?.message ?? "", /1{40} is not in the repository/);
    });
    await built({ path: "ada/nowhere", commit }, ({ failure }) => {
      assert.equal(failure?.class, "clone_error");
      assert.match(
        failure?.message ?? "",
        /'https:\/\/git\.example\/ada\/nowhere\.git\/' not found\. Check the repository's name\.$/,
      );
    });
  });

  test("tells of git hosts by their names, and never where the operator has them", async () => {
    const part = submodule("../nowhere.git", library);
    const commit = await one("ada/part-missing", { ...spy, ...part });
    for (const request of [
      { path: "ada/nowhere", commit },
      { path: "ada/part-missing", commit },
    ])
      await built(request, (ended) => {
        assert.match(output(ended), /https:\/\/git\.example\/ada\/nowhere/);
        const told = JSON.stringify([ended.log, ended.failure?.message]);
        assert.equal(told.includes(world.git.url), false, told);
      });
  });

  test("warns of files that Git LFS keeps", async () => {
    const commit = await one("ada/large", {
      ...spy,
      ".gitattributes": "*.bin filter=lfs\n",
      "a.bin": "",
    });
    await built({ path: "ada/large", commit }, (ended) => {
      assert.match(said(ended).join("\n"), /Git LFS/);
    });
  });

  test("brings private modules of the same host, and remembers whom they were for", async () => {
    await world.repository("ada/module", [
      {
        files: {
          "go.mod": `module ${REMOTE}/ada/module.git\n`,
          "m.go": "package module\n\nconst Word = 1\n",
        },
        tag: "v1.0.0",
      },
    ]);
    const files = {
      "go.mod": `module ${REMOTE}/ada/secret\n\ngo 1.21\n\nrequire ${REMOTE}/ada/module.git v1.0.0\n`,
      "main.go": `package main\n\nimport "${REMOTE}/ada/module.git"\n\nfunc main() { println(module.Word) }\n`,
    };
    const [commit = ""] = await world.repository("ada/secret", [{ files, tag: "v3" }]);
    const request = { path: "ada/secret", version: "v3", commit, visibility: "private" as const };
    for (const round of ["fetched", "from the cache"])
      await built({ ...request, credentials: [RIGHT] }, (ended) => {
        assert.equal(ended.failure, null, round);
        assert.deepEqual(ended.repositories, [`${REMOTE}/ada/module`, `${REMOTE}/ada/secret`]);
      });
  });

  test("of a commit that nobody shows leaves nothing in the shared caches", async () => {
    const path = "ada/fork";
    const commit = await one(path, {
      "go.mod": "module a.b/c\n",
      "main.go": "package main\n\nfunc main() {}\n",
    });
    const caches = async () =>
      (await world.docker.host.volumes(CACHE_LABEL)).map(({ name }) => name).sort();
    const before = await caches();
    await built({ path, commit, advertised: false }, ({ failure }) => assert.equal(failure, null));
    assert.deepEqual(await caches(), before);
  });

  test("leaves nothing of the attempt on the host once it was cleaned", async () => {
    const left = await labelled(`railhead.agent=${world.docker.agent}`);
    assert.deepEqual(
      left.filter((name) => !name.startsWith("volume railhead-go-")),
      [],
    );
  });
});
