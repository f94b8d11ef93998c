/** Area "artifacts": a URL serves what was published, whole, or nothing (I4), whatever agents and makefiles bring. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { connect } from "node:net";
import { ARTIFACT_FILES, PART_BYTES } from "../../../shared/limits.ts";
import { withLiar } from "../../support/liar.ts";
import type { TestStack } from "../../support/stack.ts";
import { fileOf, type TestAttempt } from "../../worker/agent.ts";
import type { FaultCase } from "../case.ts";

const MIB = 2 ** 20;
const ARCHIVE = "hello_linux_amd64.tar.gz";
const MANY = 10_000;
/** Names that would be trouble in a header, a path, a shell or a listing. */
const BAD_NAMES = [
  ...["", ".", "..", "../x", "/etc/passwd", "a/b", "-rf", ".hidden", "a b", "a\nb", "a\rb", "a\0b"],
  ...[
    'quo"te',
    "back\\slash",
    "ümlaut",
    "💥",
    "\u202egnp.exe",
    "%2e%2e",
    "a;id",
    "$(id)",
    "a".repeat(193),
  ],
];

export const cases: FaultCase[] = [
  {
    area: "artifacts",
    name: "an upload and a download are cut at half and resumed",
    quick: true,
    async run({ stack }) {
      await withLiar(stack, async (liar) => {
        const { id, path, attempt } = await liar.attempt();
        const bytes = randomBytes(2 * PART_BYTES + 5 * MIB);
        const { upload } = await attempt.announce(fileOf(ARCHIVE, bytes));
        const parts: { part: number; etag: string }[] = [];
        for (const [index, body] of partsOf(bytes).entries()) {
          const part = index + 1;
          await cutInHalf(stack, attempt, upload, part, body);
          parts.push({ part, etag: await attempt.sendPart(upload, part, body) });
        }
        assert.equal((await attempt.uploaded(upload, parts)).t, "upload_ok");
        assert.equal((await stack.fetch(path)).status, 404, "served before it was published");
        await attempt.finish({ outcome: "succeeded" });
        assert.equal((await stack.ended(id)).record.state, "succeeded");

        const file = `${path}/${ARCHIVE}`;
        const { half, etag } = await halfOf(stack, file, bytes.length);
        const rest = await stack.fetch(file, {
          headers: { range: `bytes=${half.length}-`, "if-range": etag },
        });
        assert.equal(rest.status, 206);
        const whole = Buffer.concat([half, Buffer.from(await rest.arrayBuffer())]);
        assert.equal(sha256(whole), sha256(bytes));
        const other = await stack.fetch(file, {
          headers: { range: `bytes=${half.length}-`, "if-range": '"of another file"' },
        });
        assert.equal(other.status, 200, "bytes of two files would have been joined");
        assert.equal(sha256(Buffer.from(await other.arrayBuffer())), sha256(bytes));
      });
    },
  },
  {
    area: "artifacts",
    name: "an upload is cut at half and resumed with other bytes",
    quick: true,
    async run({ stack }) {
      await withLiar(stack, async (liar) => {
        const { id, path, attempt } = await liar.attempt();
        const [first, second] = [randomBytes(PART_BYTES + MIB), randomBytes(PART_BYTES + MIB)];
        const { upload } = await attempt.announce(fileOf(ARCHIVE, first));
        const [head, tail] = [partsOf(first)[0], partsOf(second)[1]] as [Buffer, Buffer];
        const etag = await attempt.sendPart(upload, 1, head);
        await cutInHalf(stack, attempt, upload, 2, tail);
        const other = await attempt.sendPart(upload, 2, tail);
        const answer = await attempt.uploaded(upload, [
          { part: 1, etag },
          { part: 2, etag: other },
        ]);
        assert.equal(answer.t, "upload_failed");
        await publishesNothing(stack, id, path, attempt);
      });
    },
  },
  {
    area: "artifacts",
    name: "wrong hashes, wrong sizes, wrong parts, none at all",
    quick: true,
    async run({ stack }) {
      await withLiar(stack, async (liar) => {
        const { id, path, attempt } = await liar.attempt();
        const bytes = randomBytes(MIB);
        const told = fileOf(ARCHIVE, bytes);
        const put = async (body: Uint8Array, size: number, times: "retry" | "fatal") => {
          const { upload } = await attempt.announce({ ...told, size });
          await assert.rejects(attempt.sendPart(upload, 1, body), /^Error: 4\d\d /);
          const answer = await attempt.uploaded(upload, [{ part: 1, etag: "of nothing" }]);
          assert.equal(answer.t, "upload_failed");
          assert.equal(answer.code, times);
        };
        await put(randomBytes(MIB), MIB, "retry");
        await put(bytes.subarray(1), MIB, "retry");
        await put(bytes, MIB - 1, "fatal");
        await publishesNothing(stack, id, path, attempt);

        const large = await liar.attempt();
        const whole = randomBytes(PART_BYTES + MIB);
        const [one, two] = partsOf(whole) as [Buffer, Buffer];
        for (const lie of ["one part", "no parts", "a forged part", "a part twice"]) {
          const { upload, answer } = await large.attempt.announce(
            fileOf(`${lie.replaceAll(" ", "-")}.tar.gz`, whole),
          );
          assert.equal(answer.t, "upload_ready");
          const etag = await large.attempt.sendPart(upload, 1, one);
          const real = { part: 2, etag: await large.attempt.sendPart(upload, 2, two) };
          const parts = {
            "one part": [{ part: 1, etag }],
            "no parts": [],
            "a forged part": [{ part: 1, etag: "forged" }, real],
            "a part twice": [{ part: 1, etag }, { part: 1, etag }, real],
          }[lie];
          const end = await large.attempt.uploaded(upload, parts ?? []);
          assert.equal(end.t, "upload_failed", lie);
        }
        await publishesNothing(stack, large.id, large.path, large.attempt);

        const none = await liar.attempt();
        await none.attempt.finish({ outcome: "succeeded", uploads: [] });
        await failed(stack, none.id, none.path);
      });
    },
  },
  {
    area: "artifacts",
    name: "names and types of files that are trouble",
    quick: false,
    async run({ stack }) {
      await withLiar(stack, async (liar) => {
        const { id, path, attempt } = await liar.attempt();
        const bytes = randomBytes(1_000);
        const lies = [
          ...BAD_NAMES.map((name) => ({ name })),
          ...["", "x", "text/html\r\nx-evil: 1", "tëxt/plain", "text/html; charset=x"].map(
            (content_type) => ({ content_type }),
          ),
        ];
        for (const lie of lies) {
          const socket = await attempt.dial();
          const upload = "0".repeat(32);
          socket.send({ t: "upload", upload, ...fileOf(ARCHIVE, bytes), ...lie });
          assert.equal(await socket.closed, 4008, JSON.stringify(lie));
        }
        const socket = await attempt.dial();
        await socket.next("ready");
        socket.send({
          t: "result",
          outcome: "failed",
          class: "make_error",
          reason: "no.",
          last_seq: 0,
          uploads: [],
          repositories: [],
          phases: {},
        });
        await socket.next("result_ok");
        await failed(stack, id, path);
      });
    },
  },
  {
    area: "artifacts",
    name: "ten thousand files announced",
    quick: false,
    async run({ stack }) {
      await withLiar(stack, async (liar) => {
        const { id, path, attempt } = await liar.attempt();
        const bytes = randomBytes(1_000);
        let taken = 0;
        for (let n = 0; n < MANY; n++) {
          const { answer } = await attempt.announce(fileOf(`file-${n}`, bytes));
          if (answer.t === "upload_ready") taken += 1;
        }
        assert.equal(taken, ARTIFACT_FILES);
        for (let n = 0; n < MANY; n++) {
          const { answer } = await attempt.announce(fileOf("file-0", bytes));
          if (answer.t === "upload_ready") taken += 1;
        }
        assert.ok(taken < 1_000, `${taken} uploads were opened`);
        await publishesNothing(stack, id, path, attempt);
      });
    },
  },
];

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function partsOf(bytes: Buffer): Buffer[] {
  const count = Math.ceil(bytes.length / PART_BYTES);
  return Array.from({ length: count }, (_, i) =>
    bytes.subarray(i * PART_BYTES, (i + 1) * PART_BYTES),
  );
}

/** Puts half of a part and cuts the connection. */
async function cutInHalf(
  stack: TestStack,
  attempt: TestAttempt,
  upload: string,
  part: number,
  body: Buffer,
): Promise<void> {
  const ticket = await attempt.ticket(upload, part);
  const { hostname, port } = new URL(stack.url);
  await new Promise<void>((resolve, reject) => {
    const socket = connect(Number(port), hostname);
    socket.once("error", reject);
    socket.write(
      [
        `PUT /agent/uploads/${upload}/parts/${part} HTTP/1.1`,
        "host: 127.0.0.1",
        `authorization: Bearer ${ticket}`,
        `content-length: ${body.length}`,
        "",
        "",
      ].join("\r\n"),
    );
    socket.write(body.subarray(0, body.length / 2), () => {
      socket.destroy();
      resolve();
    });
  });
}

/** The first half of a download, and the ETag to resume it with. */
async function halfOf(
  stack: TestStack,
  file: string,
  size: number,
): Promise<{ half: Buffer; etag: string }> {
  const response = await stack.fetch(file);
  assert.equal(response.status, 200);
  const chunks: Uint8Array[] = [];
  let seen = 0;
  for await (const chunk of response.body ?? []) {
    chunks.push(chunk);
    seen += chunk.length;
    if (seen >= size / 2) break;
  }
  return { half: Buffer.concat(chunks), etag: response.headers.get("etag") ?? "" };
}

/** Claims success with all that was announced, of which nothing is stored. */
async function publishesNothing(
  stack: TestStack,
  id: string,
  path: string,
  attempt: TestAttempt,
): Promise<void> {
  await attempt.finish({
    outcome: "succeeded",
    uploads: attempt.announced.slice(0, ARTIFACT_FILES),
  });
  await failed(stack, id, path);
}

async function failed(stack: TestStack, id: string, path: string): Promise<void> {
  const { record } = await stack.ended(id);
  assert.equal(record.state, "failed");
  assert.deepEqual(record.artifacts, []);
  for (const url of [path, `${path}/${ARCHIVE}`, `${path}/checksums.txt`]) {
    const response = await stack.fetch(url);
    assert.equal(response.status, 404, url);
    await response.body?.cancel();
  }
}
