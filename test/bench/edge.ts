/**
 * The bench Worker (worker/index.mjs) on this machine: under `wrangler dev`, as developers run it, or on bare
 * workerd, without the proxy, the R2 simulator and the inspector of the tool.
 */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { closeSync, openSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse } from "smol-toml";
import { endProcesses, mark } from "../../cli/dev/processes.ts";
import { must } from "../support/process.ts";
import { until } from "../support/until.ts";

export type BenchEdge = { url: string; token: string; close(): Promise<void> };

/** `remote`: base URL of the git host that stands for git.example. */
export type BenchSettings = { remote?: string };

const ROOT = join(import.meta.dirname, "../..");
const WRANGLER = join(ROOT, "node_modules/wrangler/bin/wrangler.js");
/** Milliseconds the processes get to end by themselves. */
const END_MS = 2_000;

const ENVIRONMENT = {
  CLOUDFLARE_CF_FETCH_ENABLED: "false",
  WRANGLER_SEND_METRICS: "false",
  WRANGLER_HIDE_BANNER: "true",
  X_LOCAL_OBSERVABILITY: "false",
  X_LOCAL_EXPLORER: "false",
};

const OBJECT = { type: "durable-object", storage: "sqlite" };

type Config = {
  name: string;
  compatibility_date: string;
  vars: Record<string, string>;
  durable_objects: { bindings: { name: string; class_name: string }[] };
  exports: Record<string, object>;
  [key: string]: unknown;
};

/** wrangler.toml with the bench entry, its objects, and no limit on how much one caller may ask for. */
function configure(token: string, { remote }: BenchSettings): Config {
  const config = parse(readFileSync(join(ROOT, "wrangler.toml"), "utf8")) as Config;
  return {
    ...config,
    name: "railhead-bench",
    main: join(import.meta.dirname, "worker/index.mjs"),
    vars: {
      ...config.vars,
      ...(remote === undefined ? {} : { RAILHEAD_REMOTES: `git.example=${remote}` }),
      RAILHEAD_OPEN_BUILDS: "true",
      RAILHEAD_RATE_PER_MINUTE: "1000000",
      RAILHEAD_QUEUE_LIMIT: "1000000",
      RAILHEAD_TOKEN: token,
      RAILHEAD_SECRET: randomBytes(32).toString("base64"),
    },
    secrets: {},
    durable_objects: {
      bindings: [
        ...config.durable_objects.bindings,
        { name: "BARE", class_name: "Bare" },
        { name: "STORE", class_name: "Store" },
      ],
    },
    exports: { ...config.exports, Bare: OBJECT, Store: OBJECT },
  };
}

export async function wranglerEdge(settings: BenchSettings = {}): Promise<BenchEdge> {
  return await start(async (folder, port, token) => {
    const config = join(folder, "wrangler.json");
    await writeFile(config, JSON.stringify(configure(token, settings)));
    return [
      process.execPath,
      WRANGLER,
      "dev",
      ...["--config", config, "--persist-to", join(folder, "state"), "--log-level", "error"],
      ...["--ip", "127.0.0.1", "--port", String(port), "--inspector-port", "0"],
      "--show-interactive-dev-session=false",
    ];
  });
}

export async function workerdEdge(): Promise<BenchEdge> {
  return await start(async (folder, port, token) => {
    const config = configure(token, {});
    const file = join(folder, "wrangler.json");
    await writeFile(file, JSON.stringify(config));
    const out = join(folder, "bundle");
    await must(
      process.execPath,
      [WRANGLER, "deploy", "--dry-run", "--config", file, "--outdir", out],
      { env: { ...process.env, ...ENVIRONMENT } },
    );
    await mkdir(join(folder, "objects"));
    const modules = (await readdir(out)).filter((name) => /\.(?:js|txt)$/.test(name));
    await writeFile(join(folder, "workerd.capnp"), capnp(config, modules, port));
    return [
      join(ROOT, "node_modules/.bin/workerd"),
      "serve",
      join(folder, "workerd.capnp"),
      "--experimental",
    ];
  });
}

/** The same bindings in workerd's own language. Its bucket is one that holds nothing: dispatch only looks. */
function capnp(config: Config, modules: string[], port: number): string {
  const quote = (text: string) => JSON.stringify(text);
  const list = (entries: string[]) => `[\n    ${entries.join(",\n    ")}\n  ]`;
  const { bindings } = config.durable_objects;
  const entry = modules.find((name) => name === "index.js") ?? modules[0];
  const others = modules.filter((name) => name !== entry);
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .main),
    (name = "bucket", worker = .bucket),
    (name = "disk", disk = (path = "objects", writable = true)),
    (name = "internet", network = (allow = ["public", "private"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")],
);
const main :Workerd.Worker = (
  compatibilityDate = ${quote(config.compatibility_date)},
  modules = ${list([
    `(name = ${quote(entry ?? "")}, esModule = embed ${quote(`bundle/${entry}`)})`,
    ...others.map((name) => `(name = ${quote(name)}, text = embed ${quote(`bundle/${name}`)})`),
  ])},
  durableObjectNamespaces = ${list(
    bindings.map(
      ({ class_name }) =>
        `(className = ${quote(class_name)}, uniqueKey = ${quote(class_name)}, enableSql = true)`,
    ),
  )},
  durableObjectStorage = (localDisk = "disk"),
  bindings = ${list([
    ...bindings.map(
      ({ name, class_name }) =>
        `(name = ${quote(name)}, durableObjectNamespace = ${quote(class_name)})`,
    ),
    ...Object.entries(config.vars).map(
      ([name, value]) => `(name = ${quote(name)}, text = ${quote(value)})`,
    ),
    '(name = "ARTIFACTS", r2Bucket = "bucket")',
  ])},
);
const bucket :Workerd.Worker = (
  compatibilityDate = ${quote(config.compatibility_date)},
  serviceWorkerScript = "addEventListener('fetch', (event) => event.respondWith(new Response(null, { status: 404, headers: { 'cf-r2-error': JSON.stringify({ version: 0, v4code: 10007, message: 'none' }) } })))",
);
`;
}

async function start(
  prepare: (folder: string, port: number, token: string) => Promise<string[]>,
): Promise<BenchEdge> {
  const folder = await mkdtemp(join(tmpdir(), "railhead-bench-"));
  const close = async () => {
    await endProcesses(folder, END_MS);
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const port = await freePort();
    const token = `rh_${randomBytes(32).toString("hex")}`;
    const [command, ...args] = (await prepare(folder, port, token)) as [string, ...string[]];
    const log = openSync(join(folder, "log"), "a");
    const child = spawn(command, args, {
      cwd: folder,
      env: { ...process.env, ...ENVIRONMENT, ...mark(folder, "edge") },
      stdio: ["ignore", log, log],
    });
    closeSync(log);
    const url = `http://127.0.0.1:${port}`;
    await until("the bench Worker", async () => {
      if (child.exitCode !== null)
        throw new Error(`it ended: ${readFileSync(join(folder, "log"), "utf8").slice(-2_000)}`);
      return await fetch(`${url}/healthz`).then(
        async (response) => (await response.text()) !== "" && response.ok,
        () => false,
      );
    });
    return { url, token, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address ? address.port : 0));
    });
  });
}
