import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { until } from "../../test/support/until.ts";
import { CliError, EXIT } from "../errors.ts";
import { get } from "./get.ts";

const TARGET = "git.example/ada/hello/linux/amd64/v1.0.0";
const FILE = "hello_linux_amd64.tar.gz";
const BYTES = randomBytes(300_000);
const ETAG = '"one"';

let folder: string;
let server: Server;
let url: string;
/** Bytes after which each connection is cut, in turn; then none is. */
let cuts: number[] = [];
let ranges: (string | undefined)[] = [];
let hash = "";

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "railhead-get-"));
  server = createServer((request, response) => {
    if (request.url === `/${TARGET}`)
      return response.writeHead(303, { location: `/${TARGET}/${FILE}` }).end();
    if (request.url?.endsWith(".sha256")) return response.end(`${hash}  ${FILE}\n`);
    if (request.method === "HEAD")
      return response.writeHead(200, { "content-length": BYTES.length, etag: ETAG }).end();
    ranges.push(request.headers.range);
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
    const rest = BYTES.subarray(from);
    response.writeHead(from === 0 ? 200 : 206, { "content-length": rest.length, etag: ETAG });
    const cut = cuts.shift();
    if (cut === undefined) return response.end(rest);
    response.write(rest.subarray(0, cut));
    // Cut before anything is on the client's disk, the next try would rightly begin anew.
    return until("the client has kept something", async () => (await kept()) > from).then(() =>
      response.destroy(),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
after(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});
afterEach(async () => {
  for (const name of await readdir(folder)) await rm(join(folder, name));
  ranges = [];
});
after(() => rm(folder, { recursive: true }));

const output = () => join(folder, FILE);

/** Bytes of the download on the client's disk. */
async function kept(): Promise<number> {
  const part = (await readdir(folder)).find((name) => name.endsWith(".part"));
  return part === undefined ? 0 : (await stat(join(folder, part))).size;
}

test("a download that is cut goes on where it was, and is whole", async () => {
  hash = createHash("sha256").update(BYTES).digest("hex");
  cuts = [100_000, 50_000];
  await get(TARGET, { url, output: output() });
  assert.deepEqual(await readFile(output()), BYTES);
  assert.deepEqual(await readdir(folder), [FILE]);
  assert.equal(ranges[0], undefined);
  assert.match(ranges.at(-1) ?? "", /^bytes=\d+-$/);
});

test("a file that cannot be written is said as that, and is no fault of the edge", async () => {
  hash = createHash("sha256").update(BYTES).digest("hex");
  const nowhere = join(folder, "none", "x");
  await assert.rejects(get(TARGET, { url, output: nowhere }), {
    message: `cannot write ${nowhere}: no such folder`,
    status: EXIT.failed,
  });
  await assert.rejects(get(TARGET, { url, output: folder }), {
    message: `cannot write ${folder}: it is a folder`,
    status: EXIT.failed,
  });
  assert.deepEqual(ranges, [], "nothing was downloaded");
});

test("bytes that do not match the published SHA-256 never get the file's name", async () => {
  hash = "0".repeat(64);
  await assert.rejects(get(TARGET, { url, output: output() }), (error: unknown) => {
    assert.ok(error instanceof CliError);
    return /do not match the published SHA-256/.test(error.message);
  });
  assert.deepEqual(await readdir(folder), []);
});
