/** Runs a package as its clients do: unpacked, and on the code path of a real Erlang. */
import { gunzipSync } from "node:zlib";
import { type DockerWorld, finish } from "./docker.ts";

/**
 * What an expression is, with these packages (gzipped tars, by application) loaded.
 * @returns all that the container printed
 */
export async function evaluate(
  docker: DockerWorld,
  image: string,
  packages: Readonly<Record<string, Buffer>>,
  expression: string,
): Promise<string> {
  const owner = docker.owner();
  const workspace = await docker.workspace(owner, 2 ** 27);
  try {
    for (const [app, bytes] of Object.entries(packages)) {
      const making = docker.spec(owner, `mkdir ${app}`, {
        ...{ phase: `make-${app}`, image, mounts: [workspace], working_dir: workspace.target },
      });
      const handle = await docker.host.create(making);
      await finish(handle);
      await handle.put(`${workspace.target}/${app}`, gunzipSync(bytes));
    }
    const code = `io:format("~p", [${expression}]), halt().`;
    const running = docker.spec(owner, "", {
      ...{ phase: "run", image, mounts: [workspace] },
      env: { ERL_LIBS: workspace.target },
      command: ["erl", "-noshell", "-eval", code],
    });
    const { stdout, stderr } = await finish(await docker.host.create(running));
    return stdout + stderr;
  } finally {
    await docker.host.clean(owner);
  }
}
