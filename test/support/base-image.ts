/** A base image of two megabytes, which a push carries in a moment: busybox of the distribution, under a name of its own. */
import { randomBytes } from "node:crypto";
import { access, mkdir, readFile } from "node:fs/promises";
import { request } from "node:http";
import { join } from "node:path";
import { buffer, text } from "node:stream/consumers";
import { pack } from "tar-stream";
import { cached } from "./cache.ts";
import { Apt } from "./debian.ts";
import { DOCKER_SOCKET, engine } from "./engine.ts";

const PROGRAM = "usr/bin/busybox";
const APPLETS = ["cat", "dd", "echo", "head", "id", "ls", "sh", "sleep", "test", "wget", "yes"];

export type BaseImage = { name: string; remove(): Promise<void> };

/** Imports it; `changes` are instructions besides. */
export async function makeBaseImage(changes: readonly string[] = []): Promise<BaseImage> {
  const tar = pack();
  const program = await readFile(await busybox());
  tar.entry({ name: "bin/busybox", mode: 0o755 }, program);
  for (const name of APPLETS)
    tar.entry({ name: `bin/${name}`, type: "symlink", linkname: "busybox" });
  tar.entry({ name: "tmp/", type: "directory", mode: 0o1777 });
  tar.finalize();
  const tag = randomBytes(6).toString("hex");
  const query = new URLSearchParams({ fromSrc: "-", repo: "railhead-test/busybox", tag });
  for (const change of ["ENV PATH=/bin", `LABEL railhead.test=${tag}`, ...changes])
    query.append("changes", change);
  await send(`/images/create?${query}`, await buffer(tar));
  const name = `railhead-test/busybox:${tag}`;
  return { name, remove: () => engine("DELETE", `/images/${name}`) };
}

async function busybox(): Promise<string> {
  const intact = (path: string) =>
    access(join(path, PROGRAM)).then(
      () => true,
      () => false,
    );
  const path = await cached("busybox-static", intact, async (fresh) => {
    const apt = await Apt.open();
    try {
      await mkdir(fresh);
      await apt.unpack(["busybox-static"], fresh);
    } finally {
      await apt.close();
    }
  });
  return join(path, PROGRAM);
}

function send(path: string, body: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath: DOCKER_SOCKET, method: "POST", path }, async (response) => {
      const said = await text(response);
      if (response.statusCode === 200 && !said.includes('"error"')) resolve();
      else reject(new Error(`POST ${path}: ${response.statusCode} ${said}`));
    });
    call.on("error", reject);
    call.end(body);
  });
}
