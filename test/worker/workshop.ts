/** A Worker, a git host with many tags and a wire-only agent: what tests of builds start from. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { makeRepository } from "../../cli/dev/repository.ts";
import type { BuildRecord } from "../../shared/builds.ts";
import { startAgent, type TestAgent, type TestAttempt } from "./agent.ts";
import { type Edge, startEdge } from "./edge.ts";

/** Versions of the one repository: as many builds as a test file may start. */
const VERSIONS = 30;

/** One object of a log, as clients get it. */
export type Line = {
  build_id: string;
  level: string;
  msg: string;
  time: string;
  position: number;
};

export class Workshop {
  readonly edge: Edge;
  readonly agent: TestAgent;
  #next = 0;

  constructor(edge: Edge, agent: TestAgent) {
    this.edge = edge;
    this.agent = agent;
  }

  /** A path that nobody has built yet. */
  newPath(): string {
    return `/git.example/o/tool/linux/amd64/v1.${this.#next++}.0`;
  }

  /** Posts a build and answers its attempt, started. */
  async post(path: string = this.newPath()): Promise<{ id: string; attempt: TestAttempt }> {
    const response = await this.edge.call(path, { method: "POST" });
    assert.equal(response.status, 202);
    const { build_id } = (await response.json()) as { build_id: string };
    const attempt = await this.agent.attempt();
    assert.equal(attempt.build, build_id);
    return { id: build_id, attempt };
  }

  async record(id: string): Promise<BuildRecord> {
    const response = await this.edge.call(`/builds/${id}`);
    assert.equal(response.status, 200);
    return (await response.json()) as BuildRecord;
  }

  async log(id: string, query = "", headers: Record<string, string> = {}): Promise<Response> {
    const response = await this.edge.call(`/builds/${id}/logs${query}`, { headers });
    assert.equal(response.status, 200);
    return response;
  }

  async entries(id: string, query = ""): Promise<Line[]> {
    const text = await (await this.log(id, query)).text();
    const lines = text.split("\n").filter((line) => line !== "");
    return lines.map((line) => JSON.parse(line));
  }

  async close(): Promise<void> {
    this.agent.close();
    await this.edge.close();
  }
}

export async function openWorkshop(): Promise<Workshop> {
  const edge = await startEdge();
  await makeRepository(
    join(edge.root, "o/tool.git"),
    Array.from({ length: VERSIONS }, (_, i) => ({ files: { n: `${i}` }, tag: `v1.${i}.0` })),
  );
  return new Workshop(edge, await startAgent(edge.url));
}

/** How most tests that are about something else end a build. */
export const FAILED = { outcome: "failed", class: "make_error", reason: "no." } as const;
