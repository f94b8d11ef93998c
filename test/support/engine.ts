/** The Docker engine, asked directly: what a test finds there must not come from the code under test. */
import { request } from "node:http";

export const SOCKET = process.env.DOCKER_HOST?.replace(/^unix:\/\//, "") ?? "/var/run/docker.sock";

/** One call of the engine's API; the parsed answer. Rejects on a status of 400 and above. */
export function engine<T>(method: string, path: string, body?: unknown): Promise<T> {
  return new Promise((resolve, reject) => {
    const call = request(
      { socketPath: SOCKET, method, path, headers: { "content-type": "application/json" } },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("end", () => {
          const text = Buffer.concat(chunks).toString();
          const status = response.statusCode ?? 0;
          if (status >= 400) return reject(new Error(`${method} ${path}: ${status} ${text}`));
          resolve((text.startsWith("{") || text.startsWith("[") ? JSON.parse(text) : text) as T);
        });
        response.on("error", reject);
      },
    );
    call.on("error", reject);
    call.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

export type Container = {
  Id: string;
  Names: string[];
  State: string;
  Labels: Record<string, string>;
};

function filters(...labels: string[]): string {
  return encodeURIComponent(JSON.stringify({ label: labels }));
}

type Volumes = { Volumes: { Name: string; Labels: Record<string, string> | null }[] | null };

/** Containers that carry every one of the labels, running or not. A label is `name` or `name=value`. */
export function containers(...labels: string[]): Promise<Container[]> {
  return engine("GET", `/containers/json?all=1&filters=${filters(...labels)}`);
}

/** Names of everything on the host that carries every one of the labels. */
export async function labelled(...labels: string[]): Promise<string[]> {
  const [found, volumes, networks] = await Promise.all([
    containers(...labels),
    engine<Volumes>("GET", `/volumes?filters=${filters(...labels)}`),
    engine<{ Name: string }[]>("GET", `/networks?filters=${filters(...labels)}`),
  ]);
  return [
    ...found.map((container) => `container ${container.Names[0]}`),
    ...(volumes.Volumes ?? []).map((volume) => `volume ${volume.Name}`),
    ...networks.map((network) => `network ${network.Name}`),
  ];
}

/** Removes the volumes that carry every one of the labels. */
export async function removeVolumes(...labels: string[]): Promise<void> {
  const { Volumes } = await engine<Volumes>("GET", `/volumes?filters=${filters(...labels)}`);
  for (const { Name } of Volumes ?? []) await engine("DELETE", `/volumes/${Name}`);
}

/** Everything that `docker inspect` tells of the containers and volumes with this label. */
export async function inspectAll(label: string): Promise<string> {
  const found = await containers(label);
  const views = await Promise.all(
    found.map((container) =>
      engine("GET", `/containers/${container.Id}/json`).catch(() => "gone meanwhile"),
    ),
  );
  return JSON.stringify([views, await engine("GET", `/volumes?filters=${filters(label)}`)]);
}

/** Runs a command in a running container, as its own user, and waits for its end. */
export async function execIn(container: string, command: string[]): Promise<void> {
  const { Id } = await engine<{ Id: string }>("POST", `/containers/${container}/exec`, {
    Cmd: command,
    AttachStdout: true,
  });
  await engine("POST", `/exec/${Id}/start`, { Detach: false });
}
