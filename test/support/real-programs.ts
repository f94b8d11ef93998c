/**
 * Programs that nobody here wrote, as Debian's source mirror has them: input that does not know it is
 * a test. On a machine that cannot fetch them the tests fail with the reason; they are never skipped.
 */
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { cached, sha256File } from "./cache.ts";
import { Apt, type Orig } from "./debian.ts";
import { addModule, GOCODE, requiredModules } from "./module-proxy.ts";
import { must } from "./process.ts";

export type RealProgram = {
  /** Owner and name below the remote. */
  repository: string;
  tag: string;
  orig: Orig;
  /** Debian packages that hold the modules its go.mod requires. */
  modules: readonly string[];
};

export const REAL_PROGRAMS: Record<"goawk" | "webhook" | "fzf", RealProgram> = {
  /** No dependency, no makefile: the default way. */
  goawk: {
    repository: "benhoyt/goawk",
    tag: "v1.29.0",
    orig: {
      package: "goawk",
      file: "goawk_1.29.0.orig.tar.gz",
      sha256: "91bf708ad6776bea7e1fbd1a0969042de8ebc3139b89468a2a1f5405f3401f54",
    },
    modules: [],
  },
  /** Vendored, and a makefile whose first target prints help and exits 0. */
  webhook: {
    repository: "adnanh/webhook",
    tag: "2.8.0",
    orig: {
      package: "webhook",
      file: "webhook_2.8.0.orig.tar.gz",
      sha256: "c521558083f96bcefef16575a6f3f98ac79c0160fd0073be5e76d6645e068398",
    },
    modules: [],
  },
  /** Modules, and a makefile that asks git for the version and builds for the host, whatever GOARCH says. */
  fzf: {
    repository: "junegunn/fzf",
    tag: "v0.60.3",
    orig: {
      package: "fzf",
      file: "fzf_0.60.3.orig.tar.gz",
      sha256: "bdef337774050c26c6c4a6f38bc4ccb0901450854cd7f667cb3a330166a9ada5",
    },
    modules: [
      "golang-github-charlievieth-fastwalk-dev",
      "golang-github-gdamore-encoding-dev",
      "golang-github-gdamore-tcell.v2-dev",
      "golang-github-junegunn-go-shellwords-dev",
      "golang-github-lucasb-eyer-go-colorful-dev",
      "golang-github-mattn-go-isatty-dev",
      "golang-github-mattn-go-runewidth-dev",
      "golang-github-rivo-uniseg-dev",
      "golang-golang-x-sys-dev",
      "golang-golang-x-term-dev",
      "golang-golang-x-text-dev",
    ],
  },
};

export type RealProgramName = keyof typeof REAL_PROGRAMS;

/** Erlang applications. */
export const REAL_PACKAGES = {
  /** Both erlang.mk and rebar.config: its erlang.mk does not know OTP 27. */
  jose: {
    package: "erlang-jose",
    file: "erlang-jose_1.11.10.orig.tar.gz",
    sha256: "8c5b01e67fa4a300b79240c03090c98b30e86a2dbf814807f0908655e1491765",
  },
  /** rebar3, with a parse transform, a rebar.config.script and goldrush 0.1.9 from Hex. */
  lager: {
    package: "erlang-lager",
    file: "erlang-lager_3.9.2.orig.tar.gz",
    sha256: "d35670b63d64196ac05bde66e08279730bd6561f18ec5df5f3795769b9071731",
  },
  goldrush: {
    package: "erlang-goldrush",
    file: "erlang-goldrush_0.2.0.orig.tar.gz",
    sha256: "74621753efbb420e293292d383db7cf84abfe18dff3adc4b8c825aeed9a75d45",
  },
} satisfies Record<string, Orig>;

/** File that lists what a cached module proxy must hold. */
const SUMS = "SHA256SUMS";
/** File in the proxy's folder for the program that uses it. */
const GO_SUM = "go.sum";

/** Fetches what is not cached, with one opening of the apt root for all of it. */
export class RealPrograms implements AsyncDisposable {
  #apt: Promise<Apt> | null = null;

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#apt) await (await this.#apt).close();
    this.#apt = null;
  }

  #open(): Promise<Apt> {
    this.#apt ??= Apt.open();
    return this.#apt;
  }

  /** Puts the program's sources into the new folder `into`, with the hashes of the modules we can give it. */
  async unpack(name: RealProgramName, into: string): Promise<void> {
    await this.unpackOrig(REAL_PROGRAMS[name].orig, into);
    if (REAL_PROGRAMS[name].modules.length > 0)
      await copyFile(join(await this.moduleProxy(name), GO_SUM), join(into, GO_SUM));
  }

  /** Puts an upstream tarball's files into the new folder `into`. */
  async unpackOrig(orig: Orig, into: string): Promise<void> {
    const tarball = await cached(
      orig.file,
      async (path) => (await sha256File(path).catch(() => null)) === orig.sha256,
      async (path) => await copyFile(await (await this.#open()).orig(orig), path),
    );
    await mkdir(into, { recursive: true });
    await must("tar", ["-xf", tarball, "-C", into, "--strip-components=1"]);
  }

  /** Folder of a file-system GOPROXY that holds the modules of the program. */
  async moduleProxy(name: RealProgramName): Promise<string> {
    const { orig, modules } = REAL_PROGRAMS[name];
    return await cached(`modules-${name}-${orig.sha256.slice(0, 12)}`, sumsHold, async (proxy) => {
      const work = await mkdtemp(join(tmpdir(), "railhead-modules-"));
      try {
        await this.unpackOrig(orig, join(work, "program"));
        await (await this.#open()).unpack(modules, work);
        await mkdir(proxy);
        const goMod = await readFile(join(work, "program/go.mod"), "utf8");
        let goSum = "";
        for (const module of requiredModules(goMod))
          goSum += await addModule(proxy, join(work, GOCODE), module);
        await writeFile(join(proxy, GO_SUM), goSum);
        await writeFile(join(proxy, SUMS), JSON.stringify(await sums(proxy)));
      } finally {
        await rm(work, { recursive: true, force: true });
      }
    });
  }
}

async function sums(folder: string): Promise<Record<string, string>> {
  const result: Record<string, string> = {};
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  for (const entry of entries) {
    if (!entry.isFile() || entry.name === SUMS) continue;
    const path = join(entry.parentPath, entry.name);
    result[relative(folder, path)] = await sha256File(path);
  }
  return Object.fromEntries(Object.entries(result).sort());
}

async function sumsHold(folder: string): Promise<boolean> {
  try {
    const written: unknown = JSON.parse(await readFile(join(folder, SUMS), "utf8"));
    return JSON.stringify(written) === JSON.stringify(await sums(folder));
  } catch {
    return false;
  }
}
