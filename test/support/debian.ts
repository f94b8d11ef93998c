/**
 * Source tarballs and packages of one Debian suite, by apt itself (its proxies and signatures count)
 * but in a root of its own: nothing is installed, and the machine's own lists are not touched.
 */
import { access, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sha256File } from "./cache.ts";
import { must, run } from "./process.ts";

const SUITE = "trixie";
const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

export type Orig = { package: string; file: string; sha256: string };

export class Apt {
  readonly #root: string;
  readonly #options: string[];

  private constructor(root: string, options: string[]) {
    this.#root = root;
    this.#options = options;
  }

  /** Opens a root and fetches the suite's lists. Close it. Throws with what is missing on this machine. */
  static async open(): Promise<Apt> {
    await access(KEYRING).catch(() => {
      throw new Error(`${KEYRING} is missing: install debian-archive-keyring to run these tests`);
    });
    const mirror = await debianMirror();
    const root = await mkdtemp(join(tmpdir(), "railhead-apt-"));
    for (const folder of ["lists/partial", "archives/partial", "parts"])
      await mkdir(join(root, folder), { recursive: true });
    const lines = ["deb", "deb-src"].map(
      (type) => `${type} [signed-by=${KEYRING}] ${mirror} ${SUITE} main\n`,
    );
    await writeFile(join(root, "sources.list"), lines.join(""));
    await writeFile(join(root, "status"), "");
    const apt = new Apt(
      root,
      [
        `Dir::State=${root}`,
        `Dir::State::status=${join(root, "status")}`,
        `Dir::Cache=${root}`,
        `Dir::Etc::sourcelist=${join(root, "sources.list")}`,
        `Dir::Etc::sourceparts=${join(root, "parts")}`,
        "APT::Sandbox::User=root",
        "Acquire::Languages=none",
        "Acquire::Retries=3",
      ].flatMap((option) => ["-o", option]),
    );
    await must("apt-get", [...apt.#options, "update"]);
    return apt;
  }

  async close(): Promise<void> {
    await rm(this.#root, { recursive: true, force: true });
  }

  /**
   * Path of an upstream tarball. A mirror may lack the packaging files that lie beside it, which makes
   * apt fail after it fetched what we want: only the tarball and its hash count.
   */
  async orig(source: Orig): Promise<string> {
    const ran = await run(
      "apt-get",
      [...this.#options, "source", "--download-only", source.package],
      {
        cwd: this.#root,
      },
    );
    const path = join(this.#root, source.file);
    await access(path).catch(() => {
      throw new Error(`the Debian mirror did not give ${source.file}: ${ran.stderr}`);
    });
    const sha256 = await sha256File(path);
    if (sha256 !== source.sha256)
      throw new Error(`${source.file} has SHA-256 ${sha256}, not ${source.sha256}`);
    return path;
  }

  /** Unpacks binary packages below `into`, without what they depend on. */
  async unpack(packages: readonly string[], into: string): Promise<void> {
    const folder = await mkdtemp(join(this.#root, "debs-"));
    await must("apt-get", [...this.#options, "download", ...packages], { cwd: folder });
    for (const file of await readdir(folder))
      await must("dpkg-deb", ["-x", join(folder, file), into]);
  }
}

/** The mirror this machine itself uses, or RAILHEAD_TEST_MIRROR. */
async function debianMirror(): Promise<string> {
  const named = process.env.RAILHEAD_TEST_MIRROR;
  if (named) return named;
  const parts = "/etc/apt/sources.list.d";
  const files = [
    "/etc/apt/sources.list",
    ...(await readdir(parts).catch(() => [])).map((file) => join(parts, file)),
  ];
  for (const file of files) {
    const text = await readFile(file, "utf8").catch(() => "");
    const match = /^(?:URIs:\s*|deb\s+(?:\[[^\]]*\]\s+)?)(https?:\/\/\S+\/debian\/?)(?:\s|$)/m.exec(
      text,
    );
    if (match) return match[1] as string;
  }
  throw new Error(
    "no Debian mirror in this machine's apt sources: name one in RAILHEAD_TEST_MIRROR to run these tests",
  );
}
