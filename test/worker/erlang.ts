/** The edge with an agent of ours that is given Erlang packages to make, and what tests of coon's face ask of both. */
import assert from "node:assert/strict";
import type { BuildRecord } from "../../shared/builds.ts";
import type { Follow, PackageAsked, PackageFacts } from "../../shared/recipes/erlang.ts";
import { until } from "../support/until.ts";
import { startAgent, type TestAgent, type TestAttempt } from "./agent.ts";
import { type Edge, type EdgeOptions, startEdge } from "./edge.ts";

export const COMMIT = "c".repeat(40);

/** An answer in coon's envelope. */
export type Answer = { result: boolean; response: unknown };

/** What `/search` and `/last_builds` list. */
export type Entry = {
  build_id: string;
  namespace: string;
  name: string;
  success: boolean;
  path: string;
  build_date: string;
  version: string | null;
  erl_version: string | null;
};

export type Listed = {
  build_id: string;
  result: boolean;
  message: string;
  artifact_path: string | null;
  created_date: number;
};

export class ErlangWorld {
  readonly edge: Edge;
  readonly agent: TestAgent;
  #packages = 0;

  constructor(edge: Edge, agent: TestAgent) {
    this.edge = edge;
    this.agent = agent;
  }

  async close(): Promise<void> {
    this.agent.close();
    await this.edge.close();
  }

  /** A package that nobody has asked for yet. */
  newName(): string {
    return `ada/package${this.#packages++}`;
  }

  post(path: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
    const json = { "content-type": "application/json", ...headers };
    return this.edge.call(path, { method: "POST", headers: json, body: JSON.stringify(body) });
  }

  /** The `response` of an answer that came out well. */
  async good<T>(answer: Response | Promise<Response>): Promise<T> {
    const response = await answer;
    const { result, response: value } = (await response.json()) as Answer;
    assert.deepEqual([response.status, result], [200, true], JSON.stringify(value));
    return value as T;
  }

  async search(query: string): Promise<Entry[]> {
    return this.good(this.edge.call(`/search?${query}`));
  }

  async builds(body: object, query = ""): Promise<Listed[]> {
    return this.good(this.post(`/builds${query}`, body));
  }

  /** Asks for one build, and answers its attempt, started. */
  async ordered(
    full_name: string,
    ref: string | null = "1.0.0",
    erl: string | null = "27",
  ): Promise<{ id: string; attempt: TestAttempt }> {
    const { build_ids } = await this.good<{ build_ids: string[] }>(
      this.post("/buildAsync", {
        full_name,
        clone_url: cloneUrl(full_name),
        versions: [{ ref, erl_version: erl }],
      }),
    );
    assert.equal(build_ids.length, 1);
    return this.taken(build_ids[0] as string);
  }

  /** The attempt of a build that was just asked for. */
  async taken(id: string): Promise<{ id: string; attempt: TestAttempt }> {
    const attempt = await this.agent.attempt();
    assert.equal(attempt.build, id);
    return { id, attempt };
  }

  /** Builds a package to its end. @returns the build's id */
  async built(
    full_name: string,
    ref = "1.0.0",
    erl = "27",
    bytes: Uint8Array = Buffer.from(`${full_name} ${ref} ${erl}`),
  ): Promise<string> {
    const { id, attempt } = await this.ordered(full_name, ref, erl);
    await succeed(attempt, bytes);
    await this.listed(id);
    return id;
  }

  /** Waits until the Catalog holds the end of a build. */
  async listed(id: string): Promise<void> {
    const record: BuildRecord = JSON.parse(await (await this.edge.call(`/builds/${id}`)).text());
    const full_name = `${record.package?.namespace}/${record.package?.name}`;
    await until(`build ${id} in the Catalog`, async () =>
      (await this.builds({ full_name })).some(({ build_id }) => build_id === id),
    );
  }
}

export async function openErlangWorld(options: EdgeOptions = {}): Promise<ErlangWorld> {
  const vars = { RAILHEAD_RATE_PER_MINUTE: "1000", ...options.vars };
  const edge = await startEdge({ ...options, vars });
  return new ErlangWorld(edge, await startAgent(edge.url));
}

/** Where the tests say that a package comes from. Nothing is there: the face does not look. */
export function cloneUrl(full_name: string): string {
  return `https://git.example/${full_name}.git`;
}

export function askedOf({ target }: TestAttempt): PackageAsked & { erl: string | null } {
  assert.ok(target.recipe === "erlang" && target.asked.kind === "package");
  return { ...target.asked, erl: target.erl };
}

/** What an attempt finds out. */
export function factsOf(attempt: TestAttempt, more: Partial<PackageFacts> = {}): PackageFacts {
  const { name, ref, erl } = askedOf(attempt);
  return {
    version: ref ?? "9.9.9",
    commit: COMMIT,
    erl_version: erl ?? "27",
    app: name.replaceAll("-", "_"),
    ...more,
  };
}

/** Ends an attempt as an honest agent does, with a package of these bytes. */
export async function succeed(
  attempt: TestAttempt,
  bytes: Uint8Array,
  more: { facts?: Partial<PackageFacts>; follow?: Follow[]; suffix?: "cp" | "ep" } = {},
): Promise<void> {
  const facts = factsOf(attempt, more.facts);
  await attempt.upload(`${facts.app}.${more.suffix ?? "cp"}`, bytes);
  await attempt.finish({
    outcome: "succeeded",
    package: facts,
    ...(more.follow === undefined ? {} : { follow: more.follow }),
  });
}

/** The whole answer of a refusal. */
export async function refusal(
  answer: Response | Promise<Response>,
  status = 400,
): Promise<unknown> {
  const response = await answer;
  const body = (await response.json()) as Answer;
  assert.deepEqual([response.status, body.result], [status, false], JSON.stringify(body));
  assert.deepEqual(Object.keys(body), ["result", "response"]);
  return body.response;
}

/** A literal body, which clients compare as a whole. */
export async function literal(answer: Response | Promise<Response>): Promise<string> {
  const response = await answer;
  assert.equal(response.status, 200);
  assert.match(response.headers.get("content-type") ?? "", /^text\/plain/);
  return response.text();
}
