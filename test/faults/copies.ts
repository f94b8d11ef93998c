/** Copies of an agent's identity: what a cloned disk or a careless script makes. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { WebSocket } from "ws";
import { IDENTITY_FILE, loadIdentity, prove } from "../../agent/identity.ts";
import { agentProgram } from "../../cli/agent-program.ts";
import { PROTOCOL_VERSION } from "../../shared/protocol.ts";
import type { TestStack } from "../support/stack.ts";

/** Another process on this host with the identity of an agent, and a home of its own. */
export async function twin(stack: TestStack, index: number): Promise<{ kill(): Promise<void> }> {
  const home = `${stack.agentHome(index)}-twin`;
  await mkdir(home, { mode: 0o700 });
  await cp(join(stack.agentHome(index), IDENTITY_FILE), join(home, IDENTITY_FILE));
  const environment = await readFile(`/proc/${stack.agentPid(index)}/environ`, "utf8");
  const child = spawn(process.execPath, [agentProgram(), "run", "--home", home], {
    env: Object.fromEntries(
      environment.split("\0").map((entry) => {
        const at = entry.indexOf("=");
        return [entry.slice(0, at), entry.slice(at + 1)];
      }),
    ),
    stdio: "ignore",
  });
  const ended = once(child, "exit");
  return {
    async kill() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}

/** Somebody with the identity of an agent says hello from another engine; how the edge ends that. */
export async function otherEngine(
  stack: TestStack,
  index: number,
): Promise<{ code: number; reason: string }> {
  const identity = await loadIdentity(stack.agentHome(index));
  const answer = await stack.fetch(`/agent/nonce?agent=${identity.agent}`);
  const { nonce } = (await answer.json()) as { nonce: string };
  const socket = new WebSocket(
    `${stack.url.replace("http", "ws")}/agent/control?agent=${identity.agent}`,
    {
      headers: { authorization: `Bearer ${await prove(identity, nonce)}` },
      perMessageDeflate: false,
    },
  );
  await once(socket, "open");
  socket.send(
    JSON.stringify({
      t: "hello",
      protocol: PROTOCOL_VERSION,
      version: "copy",
      instance: "copy",
      engine: "another-engine",
      capacity: 1,
      labels: {},
      recipes: ["go"],
      unwell: null,
      draining: false,
      held: [],
    }),
  );
  const [code, reason] = (await once(socket, "close")) as [number, Buffer];
  return { code, reason: String(reason) };
}
