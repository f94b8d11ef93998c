/** A repository of Hex packages (hexpm/specifications, "package_tarball.md") on loopback. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { RepositoryFile } from "../../cli/dev/repository.ts";
import { sha256File } from "./cache.ts";
import { serveFolder } from "./file-server.ts";
import { must } from "./process.ts";

export type HexPackage = {
  name: string;
  version: string;
  files: Readonly<Record<string, RepositoryFile>>;
  /** An Erlang term: `{Package, Properties}` for each. */
  requirements?: string;
};

/** What a rebar.lock has of a package: the SHA-256 of its tarball, and that of what is in it. */
export type HexSums = { outer: string; inner: string };

export type HexRepository = AsyncDisposable & {
  url: string;
  publish(pack: HexPackage): Promise<HexSums>;
};

export async function hexRepository(): Promise<HexRepository> {
  const root = await mkdtemp(join(tmpdir(), "railhead-hex-"));
  await mkdir(join(root, "tarballs"));
  const server = await serveFolder(root);
  return {
    url: server.url,
    publish: (pack) => publish(root, pack),
    async [Symbol.asyncDispose]() {
      await server.close();
      await rm(root, { recursive: true });
    },
  };
}

async function publish(
  root: string,
  { name, version, files, requirements = "[]" }: HexPackage,
): Promise<HexSums> {
  const work = await mkdtemp(join(root, "package-"));
  const file = (path: string) => join(work, path);
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(file(`contents/${path}`)), { recursive: true });
    const bytes =
      typeof content === "object" && "executable" in content ? content.executable : content;
    if (typeof bytes !== "string" && !(bytes instanceof Uint8Array))
      throw new Error(`a Hex package holds no such file as ${path}`);
    await writeFile(file(`contents/${path}`), bytes);
  }
  await must("tar", ["-czf", file("contents.tar.gz"), "-C", file("contents"), "."]);
  const metadata = `{<<"name">>,<<"${name}">>}.\n{<<"requirements">>,${requirements}}.\n`;
  await writeFile(file("metadata.config"), metadata);
  await writeFile(file("VERSION"), "3");
  const inner = ["VERSION", "metadata.config", "contents.tar.gz"];
  await writeFile(
    file("inner"),
    Buffer.concat(await Promise.all(inner.map((one) => readFile(file(one))))),
  );
  const sum = await sha256File(file("inner"));
  await writeFile(file("CHECKSUM"), sum.toUpperCase());
  const tarball = join(root, "tarballs", `${name}-${version}.tar`);
  await must("tar", ["-cf", tarball, "-C", work, "CHECKSUM", ...inner]);
  return { outer: await sha256File(tarball), inner: sum };
}
