/** The edge with an agent of ours that is given images to make, and what tests of its faces ask of both. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { buffer } from "node:stream/consumers";
import { pack } from "tar-stream";
import type { BuildRecord } from "../../shared/builds.ts";
import type { ImageTarget } from "../../shared/recipes/image.ts";
import { startAgent, type TestAgent, type TestAttempt } from "./agent.ts";
import { type Edge, startEdge } from "./edge.ts";

export const IMAGE = "registry.example:5000/team/app";
export const DIGEST = `sha256:${"d".repeat(64)}`;
export const DOCKERFILE = "FROM scratch\nLABEL a=b\n";
export const INSUFFICIENT =
  '{\n  "Error": "Insufficient Information.  Must provide at least an Image Name and a Dockerfile/Tarurl."\n}';

type Taken = { job: string; attempt: TestAttempt; target: ImageTarget };

export class ImageWorld {
  readonly edge: Edge;
  readonly agent: TestAgent;

  constructor(edge: Edge, agent: TestAgent) {
    this.edge = edge;
    this.agent = agent;
  }

  async close(): Promise<void> {
    this.agent.close();
    await this.edge.close();
  }

  send(body: RequestInit["body"] & {}, headers: Record<string, string> = {}): Promise<Response> {
    return this.edge.call("/api/v1/build", { method: "POST", body, headers });
  }

  post(fields: unknown): Promise<Response> {
    return this.send(JSON.stringify(fields));
  }

  async text(path: string): Promise<string> {
    return (await this.edge.call(path)).text();
  }

  async status(job: string): Promise<string> {
    return JSON.parse(await this.text(`/api/v1/${job}/status`)).Status;
  }

  async record(id: string): Promise<BuildRecord> {
    return JSON.parse(await this.text(`/builds/${id}`));
  }

  /** Keys of the contexts that lie in the bucket. */
  async contexts(): Promise<string[]> {
    const { objects } = await this.edge.bucket.list({ prefix: "contexts/" });
    return objects.map(({ key }) => key);
  }

  async jobOf(response: Response): Promise<string> {
    const answer = await response.text();
    assert.equal(response.status, 200, answer);
    assert.match(
      answer,
      /^\{\n {2}"JobIdentifier": "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"\n\}$/,
    );
    return JSON.parse(answer).JobIdentifier;
  }

  /** The attempt of a build that was just accepted, with what the agent is told to make. */
  async taken(response: Response): Promise<Taken> {
    const job = await this.jobOf(response);
    const attempt = await this.agent.attempt();
    assert.equal(attempt.build, job.replaceAll("-", ""));
    assert.equal(attempt.target.recipe, "image");
    return { job, attempt, target: attempt.target as ImageTarget };
  }

  /** The context as the attempt gets it, checked against what the target says of it. */
  async contextOf(attempt: TestAttempt, target: ImageTarget): Promise<Buffer> {
    const response = await attempt.context();
    assert.equal(response.status, 200);
    const bytes = Buffer.from(await response.arrayBuffer());
    assert.deepEqual(target.source, {
      kind: "context",
      size: bytes.length,
      sha256: createHash("sha256").update(bytes).digest("hex"),
    });
    return bytes;
  }
}

export async function openImageWorld(): Promise<ImageWorld> {
  const edge = await startEdge({ vars: { RAILHEAD_RATE_PER_MINUTE: "1000" } });
  return new ImageWorld(edge, await startAgent(edge.url));
}

/** An error in tutum-builder's shape: the whole body, or what its sentence is like. */
export async function assertRefused(
  response: Response,
  code: number,
  error: string | RegExp,
): Promise<void> {
  const answer = await response.text();
  assert.equal(response.status, code, answer);
  if (typeof error === "string") return assert.equal(answer, error);
  assert.match(answer, /^\{\n {2}"Error": ".*"\n\}$/);
  assert.match(JSON.parse(answer).Error, error);
}

export async function tarOf(files: Record<string, string>): Promise<Buffer> {
  const tar = pack();
  for (const [name, content] of Object.entries(files)) tar.entry({ name }, content);
  tar.finalize();
  return buffer(tar);
}

export async function gzip(bytes: Buffer): Promise<Buffer> {
  const stream = new Blob([new Uint8Array(bytes)]).stream();
  return buffer(stream.pipeThrough(new CompressionStream("gzip")));
}
