/** A hostile agent at the edge of a whole stack: it speaks the real protocol, and says and sends what a test wants. */
import { randomBytes } from "node:crypto";
import { startAgent, type TestAgent, type TestAttempt } from "../worker/agent.ts";
import type { TestStack } from "./stack.ts";

/** Builds that one liar may be given. */
const VERSIONS = 16;

export type Liar = {
  agent: TestAgent;
  /** POSTs a build of its own; its attempt, started. */
  attempt(): Promise<{ id: string; path: string; attempt: TestAttempt }>;
};

/** Runs `act` with a liar that gets every build; the stack's own agents are cordoned meanwhile. */
export async function withLiar<T>(stack: TestStack, act: (liar: Liar) => Promise<T>): Promise<T> {
  return cordoned(stack, async () => {
    const repository = `eve/${randomBytes(4).toString("hex")}`;
    const history = Array.from({ length: VERSIONS }, (_, i) => ({
      files: { n: `${i}` },
      tag: `v1.${i}.0`,
    }));
    await stack.commit(repository, history);
    const agent = await startAgent(stack.url, VERSIONS, stack.token);
    let next = 0;
    try {
      return await act({
        agent,
        async attempt() {
          const path = `/git.example/${repository}/linux/amd64/v1.${next++}.0`;
          const { build_id: id } = await stack.start(path);
          return { id, path, attempt: await agent.attempt() };
        },
      });
    } finally {
      agent.close();
      await administer(stack, "DELETE", agent.id);
    }
  });
}

/** Runs `act` while these agents, by name, get no build; those that are connected now by default. */
export async function cordoned<T>(
  stack: TestStack,
  act: () => Promise<T>,
  names?: readonly string[],
): Promise<T> {
  const agents = (await stack.agents()).filter(({ status, name }) =>
    names === undefined ? status === "connected" : names.includes(name),
  );
  for (const { agent } of agents) await administer(stack, "POST", `${agent}/cordon`);
  try {
    return await act();
  } finally {
    for (const { agent } of agents) await administer(stack, "POST", `${agent}/uncordon`);
  }
}

async function administer(stack: TestStack, method: string, path: string): Promise<void> {
  const headers = { authorization: `Bearer ${stack.token}` };
  const response = await stack.fetch(`/api/agents/${path}`, { method, headers });
  if (!response.ok) throw new Error(`${method} ${path}: ${await response.text()}`);
}
