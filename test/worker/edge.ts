/** The whole Worker on workerd, beside a git host of our own: what every test of the edge starts from. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createTestHarness } from "wrangler";
import { type GitServer, type GitServerOptions, startGitServer } from "../../cli/dev/git-server.ts";
import { targetCommit } from "../../shared/recipes/index.ts";
import type { Manifest } from "../../worker/core/manifest.ts";

export const ADMIN_TOKEN = "admin-token-of-the-tests-0123456789";
/** The git host's name in paths. */
export const REMOTE = "git.example";
/** The Worker's own: on any other host there may be an app. */
export const OWN_HOSTS = "127.0.0.1 localhost [::1]";

// The local runtime would ask a host of Cloudflare where this machine is, and wait where there is no network.
process.env.CLOUDFLARE_CF_FETCH_ENABLED = "false";

export type Edge = {
  /** `http://127.0.0.1:port` */
  url: string;
  git: GitServer;
  /** Folder of the git host: `<root>/owner/repo.git`. */
  root: string;
  /** A request as curl and API clients send it: redirects are shown, not followed. */
  call(path: string, init?: RequestInit): Promise<Response>;
  /** Publishes files as a build would: bytes, then the manifest. */
  publish(publication: Publication): Promise<Manifest>;
  bucket: R2Like;
  /** Takes an object out of memory; its sockets stay open, asleep. */
  hibernate(binding: string, name: string): Promise<void>;
  close(): Promise<void>;
};

export type Publication = {
  /** targetKey */
  key: string;
  target: Manifest["target"];
  files: Record<string, string | Uint8Array>;
  repositories?: string[];
};

type R2Like = {
  put(key: string, value: Uint8Array | string): Promise<{ etag: string }>;
  delete(key: string): Promise<void>;
  /** Null when it is not there. */
  head(key: string): Promise<object | null>;
  list(options: { prefix: string }): Promise<{ objects: { key: string }[] }>;
};

export type EdgeOptions = {
  /** Settings of the Worker beside the tests' own. */
  vars?: Record<string, string>;
  /** Its optional secrets. */
  secrets?: Record<string, string>;
  credentials?: GitServerOptions["credentials"];
};

export async function startEdge(options: EdgeOptions = {}): Promise<Edge> {
  const root = await mkdtemp(join(tmpdir(), "railhead-edge-"));
  const git = await startGitServer(
    options.credentials === undefined ? { root } : { root, credentials: options.credentials },
  );
  const server = createTestHarness({
    workers: [
      {
        configPath: join(import.meta.dirname, "../../wrangler.toml"),
        secrets: {
          RAILHEAD_TOKEN: ADMIN_TOKEN,
          RAILHEAD_SECRET: "s".repeat(44),
          ...options.secrets,
        },
        vars: {
          // Nothing listens on port 9.
          RAILHEAD_REMOTES: `${REMOTE}=${git.url} github.com=${git.url} other.example=http://127.0.0.1:9`,
          RAILHEAD_OPEN_BUILDS: "true",
          RAILHEAD_HOSTS: OWN_HOSTS,
          ...options.vars,
        },
      },
    ],
  });
  const close = async () => {
    await server.close();
    await git.close();
    await rm(root, { recursive: true });
  };
  const { url } = await server.listen().catch(async (error: unknown) => {
    // Else the git host would keep a test that has failed from ending.
    await close();
    throw error;
  });
  const { ARTIFACTS } = await server.getWorker<{ ARTIFACTS: R2Like }>().getEnv();
  const base = url.href.replace(/\/$/, "");
  return {
    url: base,
    git,
    root,
    bucket: ARTIFACTS,
    hibernate: (binding, name) =>
      server.getWorker().evictDurableObject(binding, { name, webSockets: "hibernate" }),
    call: (path, init) => fetch(`${base}${path}`, { redirect: "manual", ...init }),
    publish: (publication) => publish(ARTIFACTS, publication),
    close,
  };
}

export type ProblemBody = { status: number; title: string; detail: string; code: string } & Record<
  string,
  unknown
>;

/** The body of an error. */
export async function problemOf(response: Response): Promise<ProblemBody> {
  return (await response.json()) as ProblemBody;
}

async function publish(bucket: R2Like, publication: Publication): Promise<Manifest> {
  const build_id = hex(crypto.getRandomValues(new Uint8Array(16)));
  const { target } = publication;
  const prefix = target.visibility === "public" ? "" : `${target.visibility}/`;
  const files: Manifest["files"] = [];
  for (const [name, content] of Object.entries(publication.files)) {
    const bytes = Buffer.from(content);
    const key = `${prefix}builds/${build_id}/1/nonce/${name}`;
    const { etag } = await bucket.put(key, bytes);
    const sha256 = hex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));
    files.push({ name, key, size: bytes.length, sha256, etag, content_type: "application/gzip" });
  }
  const manifest: Manifest = {
    v: 1,
    build_id,
    attempt: 1,
    target,
    commit: targetCommit(target),
    visibility: target.visibility,
    repositories: publication.repositories ?? [],
    created_at: "2026-01-02T03:04:05.678Z",
    files,
  };
  await bucket.put(`manifests/${publication.key}`, JSON.stringify(manifest));
  return manifest;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
