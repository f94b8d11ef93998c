/**
 * A git host of our own for the demo and the tests: smart HTTP (protocol v0 to v2) over
 * `git http-backend`, read-only, optionally behind credentials; and single files of a commit, as hosts serve them.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import {
  createServer,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";

export type Credential = { user: string; password: string };

export type GitServerOptions = {
  /** Folder that holds `<owner>/<repo>.git`; owners may nest. */
  root: string;
  /** 0, the default, takes any free port. */
  port?: number;
  /** Address to listen on; loopback by default. */
  host?: string;
  /**
   * Who may read: a list for every repository, or a list for each `owner/repo` (one without an entry is
   * public). Basic `user:password` and `Bearer password`, `token password` are taken. None: all public.
   */
  credentials?: readonly Credential[] | Readonly<Record<string, readonly Credential[]>>;
};

/** One request of a client, as it came. */
export type GitRequest = {
  method: string;
  /** Path and query. */
  path: string;
  /** The Authorization header; null when there was none. */
  authorization: string | null;
  /** Whether the repository's readers include this caller. */
  authorized: boolean;
  status: number;
};

export type GitServer = {
  /** `http://host:port`, without a final slash. */
  url: string;
  port: number;
  /** Every request answered so far, oldest first. */
  requests: GitRequest[];
  /** Ends the server, open connections and running git processes. */
  close(): Promise<void>;
};

/** Bytes of CGI headers we wait for before we call the answer broken. */
const CGI_HEADER_BYTES = 64 * 1024;
/** The only two things a reader asks for. */
const ROUTE = /^\/(.+?)(?:\.git)?\/(info\/refs|git-upload-pack)$/;
/** One file of a commit: GitLab's address, Gitea's, GitHub's. */
const RAW = /^\/(.+?)\/(?:-\/raw|raw\/commit|raw)\/([0-9a-f]{40})\/([A-Za-z0-9._/-]+)$/;

/** Listens until `close`. Rejects when the port is taken. */
export async function startGitServer(options: GitServerOptions): Promise<GitServer> {
  const requests: GitRequest[] = [];
  const children = new Set<ChildProcess>();

  const server = createServer((request, response) => {
    const url = new URL(request.url ?? "/", "http://git");
    const route = parseRoute(url.pathname);
    const authorization = request.headers.authorization ?? null;
    const file = RAW.exec(url.pathname);
    const repository = route?.repository ?? file?.[1];
    const authorized =
      repository === undefined || mayRead(options.credentials, repository, authorization);
    response.on("close", () =>
      requests.push({
        method: request.method ?? "",
        path: url.pathname + url.search,
        authorization,
        authorized,
        status: response.statusCode,
      }),
    );
    if (!authorized) {
      response.writeHead(401, { "www-authenticate": 'Basic realm="git"' });
      response.end("Authentication is needed.\n");
    } else if (file !== null && isSafe(file[1] as string)) {
      sendFile(join(options.root, `${file[1]}.git`), `${file[2]}:${file[3]}`, response);
    } else if (route === null || !existsSync(join(options.root, `${route.repository}.git`))) {
      response.writeHead(404).end("Repository not found.\n");
    } else if (route.service === "info/refs" && url.search !== "?service=git-upload-pack") {
      response.writeHead(403).end("This server is read-only and speaks smart HTTP.\n");
    } else {
      const child = runBackend(options.root, route, url, request, response);
      children.add(child);
      child.on("close", () => children.delete(child));
    }
  });

  const host = options.host ?? "127.0.0.1";
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port ?? 0, host, resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${host}:${port}`,
    port,
    requests,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      const ended = [...children].map(
        (child) => new Promise<void>((resolve) => child.once("close", () => resolve())),
      );
      for (const child of children) child.kill("SIGKILL");
      await Promise.all([closed, ...ended]);
    },
  };
}

type Route = { repository: string; service: string };

function parseRoute(pathname: string): Route | null {
  let path: string;
  try {
    path = decodeURIComponent(pathname);
  } catch {
    return null;
  }
  const [, repository, service] = ROUTE.exec(path) ?? [];
  if (repository === undefined || service === undefined) return null;
  return isSafe(repository) ? { repository, service } : null;
}

function isSafe(repository: string): boolean {
  return repository.split("/").every((name) => /^[A-Za-z0-9_][A-Za-z0-9._-]*$/.test(name));
}

/** `object` is `commit:path`. */
function sendFile(repository: string, object: string, response: ServerResponse): void {
  execFile(
    "git",
    ["-c", "safe.directory=*", "--git-dir", repository, "cat-file", "blob", object],
    { encoding: "buffer" },
    (error, content) => {
      if (error === null) response.writeHead(200, { "content-type": "text/plain" }).end(content);
      else response.writeHead(404).end("File not found.\n");
    },
  );
}

function mayRead(
  credentials: GitServerOptions["credentials"],
  repository: string,
  authorization: string | null,
): boolean {
  const readers = isList(credentials) ? credentials : credentials?.[repository];
  if (readers === undefined) return true;
  return readers.some(({ user, password }) =>
    [
      `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`,
      `Bearer ${password}`,
      `token ${password}`,
    ].includes(authorization ?? ""),
  );
}

function isList(value: GitServerOptions["credentials"]): value is readonly Credential[] {
  return Array.isArray(value);
}

/** One CGI run (RFC 3875): the request's body in, headers and body out. */
function runBackend(
  root: string,
  route: Route,
  url: URL,
  request: IncomingMessage,
  response: ServerResponse,
): ChildProcess {
  const length = request.headers["content-length"];
  const child = spawn("git", ["http-backend"], {
    stdio: ["pipe", "pipe", "ignore"],
    env: {
      PATH: process.env.PATH,
      GIT_PROJECT_ROOT: root,
      GIT_HTTP_EXPORT_ALL: "1",
      GIT_PROTOCOL: header(request, "git-protocol"),
      GIT_CONFIG_NOSYSTEM: "1",
      GIT_CONFIG_GLOBAL: "/dev/null",
      // Any commit may be wanted, as on the big hosts; and a repository may belong to another user.
      GIT_CONFIG_COUNT: "3",
      GIT_CONFIG_KEY_0: "uploadpack.allowAnySHA1InWant",
      GIT_CONFIG_VALUE_0: "true",
      GIT_CONFIG_KEY_1: "uploadpack.allowFilter",
      GIT_CONFIG_VALUE_1: "true",
      GIT_CONFIG_KEY_2: "safe.directory",
      GIT_CONFIG_VALUE_2: "*",
      PATH_INFO: `/${route.repository}.git/${route.service}`,
      QUERY_STRING: url.search.slice(1),
      REQUEST_METHOD: request.method,
      CONTENT_TYPE: header(request, "content-type"),
      HTTP_CONTENT_ENCODING: header(request, "content-encoding"),
      REMOTE_ADDR: request.socket.remoteAddress,
      ...(length === undefined ? {} : { CONTENT_LENGTH: length }),
    },
  });
  child.on("error", () => fail(response));
  // A client or a backend that goes early ends the other side; neither is an error of this server.
  child.stdin.on("error", () => {});
  request.pipe(child.stdin);
  response.on("close", () => child.kill());

  let head: Buffer = Buffer.alloc(0);
  const readHead = (chunk: Buffer) => {
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf("\r\n\r\n");
    if (end === -1) {
      if (head.length > CGI_HEADER_BYTES) child.kill();
      return;
    }
    child.stdout.off("data", readHead);
    const { status, headers } = parseHead(head.subarray(0, end).toString("latin1"));
    response.writeHead(status, headers);
    response.write(head.subarray(end + 4));
    child.stdout.pipe(response);
  };
  child.stdout.on("data", readHead);
  child.stdout.on("end", () => fail(response));
  return child;
}

/** Answers 500 where nothing has been answered yet. */
function fail(response: ServerResponse): void {
  if (!response.headersSent) response.writeHead(500).end("git http-backend failed.\n");
}

function parseHead(text: string): { status: number; headers: OutgoingHttpHeaders } {
  const headers: OutgoingHttpHeaders = {};
  let status = 200;
  for (const line of text.split("\r\n")) {
    const colon = line.indexOf(":");
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    if (name === "status") status = Number.parseInt(value, 10);
    else headers[name] = value;
  }
  return { status, headers };
}

function header(request: IncomingMessage, name: string): string {
  const value = request.headers[name];
  return typeof value === "string" ? value : "";
}
