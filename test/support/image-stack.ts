/** Railhead with a registry and a file server of its own: what tests that build images start from. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { pack } from "tar-stream";
import { type BaseImage, makeBaseImage } from "./base-image.ts";
import { readyDocker } from "./docker.ts";
import { engine } from "./engine.ts";
import { type Registry, startRegistry } from "./registry.ts";
import { type Ended, openStack, type StackSettings, type TestStack } from "./stack.ts";
import { until } from "./until.ts";

type Image = { Id: string; RepoTags: string[] | null };

/** A path of the file server: its bytes, a redirect, or nothing for 404. */
export type Page = Buffer | { location: string };

export class ImageStack {
  readonly stack: TestStack;
  readonly registry: Registry;
  /** What the file server has, by path. */
  readonly pages: Map<string, Page>;
  readonly #base: BaseImage;
  readonly #files: Server;

  constructor(
    stack: TestStack,
    registry: Registry,
    files: Server,
    pages: Map<string, Page>,
    base: BaseImage,
  ) {
    this.stack = stack;
    this.registry = registry;
    this.pages = pages;
    this.#base = base;
    this.#files = files;
  }

  /** A small image that is on the host and has a shell. */
  get base(): string {
    return this.#base.name;
  }

  /** A name in the registry that no other test uses. */
  freshName(): string {
    return `${this.registry.name}/tests/${randomBytes(6).toString("hex")}`;
  }

  get login(): { username: string; password: string } {
    const { username, password } = this.registry;
    return { username, password };
  }

  /** URL of a path of the file server. */
  url(path: string): string {
    return `http://127.0.0.1:${(this.#files.address() as AddressInfo).port}${path}`;
  }

  /** POSTs as tutum-builder's clients do; the job. */
  async post(fields: Record<string, unknown>): Promise<string> {
    const response = await this.stack.post("/api/v1/build", { body: JSON.stringify(fields) });
    const text = await response.text();
    assert.equal(response.status, 200, text);
    return JSON.parse(text).JobIdentifier;
  }

  async build(fields: Record<string, unknown>): Promise<Ended> {
    return this.stack.ended(await this.post(fields));
  }

  async status(job: string): Promise<string> {
    const response = await this.stack.fetch(`/api/v1/${job}/status`);
    return ((await response.json()) as { Status: string }).Status;
  }

  /** Waits until the build says something like this in its log. */
  async says(job: string, pattern: RegExp): Promise<void> {
    await until(`the log of ${job} says ${pattern}`, async () =>
      (await this.stack.log(job)).some(({ msg }) => pattern.test(msg)),
    );
  }

  /** The digest that the registry has for a name without a tag, or with one. */
  async pushed(name: string, tag = "latest"): Promise<string | null> {
    return this.registry.digest(name.slice(this.registry.name.length + 1), tag);
  }

  async close(): Promise<void> {
    try {
      await this.stack.close();
    } finally {
      await this.registry.close();
      this.#files.closeAllConnections();
      this.#files.close();
      await this.#base.remove();
    }
  }
}

export async function openImageStack(settings: Partial<StackSettings> = {}): Promise<ImageStack> {
  await readyDocker();
  const pages = new Map<string, Page>();
  const files = createServer((request, response) => {
    const page = pages.get(request.url ?? "");
    if (page === undefined) response.writeHead(404).end("nothing here\n");
    else if ("location" in page) response.writeHead(302, { location: page.location }).end();
    else response.end(page);
  });
  await new Promise<void>((resolve) => files.listen(0, "127.0.0.1", resolve));
  const registry = await startRegistry();
  const base = await makeBaseImage();
  try {
    const stack = await openStack({
      repositories: {},
      ...settings,
      agentSettings: {
        RAILHEAD_AGENT_ALLOW_ADDRESSES: "127.0.0.1/32",
        ...settings.agentSettings,
      },
    });
    return new ImageStack(stack, registry, files, pages, base);
  } catch (error) {
    await registry.close();
    await base.remove();
    files.close();
    throw error;
  }
}

/**
 * Every image on the host, in-between ones too, whose configuration or names hold the marker. A Dockerfile
 * that sets it in its first line leaves it in all that is made from it.
 */
export async function imagesWith(marker: string): Promise<string[]> {
  const images = await engine<Image[]>("GET", "/images/json?all=1");
  const found = await Promise.all(
    images.map(async ({ Id, RepoTags }) => {
      const view = await engine("GET", `/images/${Id}/json`).catch(() => "gone meanwhile");
      return JSON.stringify([RepoTags, view]).includes(marker) ? [`${RepoTags} ${Id}`] : [];
    }),
  );
  return found.flat();
}

/** A context: files by name, with `/` at the end for a folder. */
export async function contextOf(files: Record<string, string>): Promise<Buffer> {
  const tar = pack();
  for (const [name, content] of Object.entries(files))
    if (name.endsWith("/")) tar.entry({ name, type: "directory" });
    else tar.entry({ name }, content);
  tar.finalize();
  return buffer(tar);
}
