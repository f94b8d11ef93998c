/**
 * Builds that a build leads to: further Erlang versions of a package, and its dependencies. They are written down with
 * the result that names them, and each is asked for until its Target has answered (protocol rule 8).
 */
import {
  type ErlangTarget,
  erlangTargetKey,
  FOLLOW_DEPTH,
  type Follow,
} from "../../shared/recipes/erlang.ts";
import type { Lifecycle } from "./build-lifecycle.ts";
import type { BuildParts } from "./build-parts.ts";
import type { BuildRow } from "./build-rows.ts";
import { Postponed } from "./outbox.ts";

/** Bytes of a build id. */
const BUILD_ID_BYTES = 16;

/** The build that was asked for, or was there already; or why there is none. */
type Answer = { build_id: string } | { why_not: string };

export class FollowUps {
  readonly #parts: BuildParts;
  readonly #life: Lifecycle;

  constructor(parts: BuildParts, life: Lifecycle) {
    this.#parts = parts;
    this.#life = life;
  }

  /** Call it in the step in which the result takes effect. What leads too far, or back to this build, is left out. */
  plan(row: BuildRow, follow: readonly Follow[]): void {
    const { rows, outbox, ports } = this.#parts;
    const wishes = new Map<string, Follow>();
    for (const one of follow) {
      const key = keyOf(row, one);
      if (key !== null && key !== row.key) wishes.set(key, one);
    }
    rows.patch({ follows: Array.from(wishes.values(), (one) => ({ ...one, build_id: null })) });
    for (const key of wishes.keys()) outbox.put("follow", key, ports.random.hex(BUILD_ID_BYTES));
  }

  /** Asks for the one of that target key; `id` is for the build that may be opened. Throws to be called again. */
  async deliver(row: BuildRow, key: string, id: string): Promise<void> {
    const follow = row.follows.find((one) => keyOf(row, one) === key);
    if (follow === undefined) return;
    const answer = await this.#ask(row, follow, key, id);
    this.#settle(key, answer);
  }

  async #ask(row: BuildRow, follow: Follow, key: string, id: string): Promise<Answer> {
    const { ports } = this.#parts;
    const target = targetOf(row, follow);
    const { remote, path, namespace, name, ref, erl } = follow;
    const repository = [remote, ...path].join("/");
    const pool = target && ports.poolFor(target.recipe, repository);
    if (target === null || pool === null)
      return { why_not: `nothing is built from ${remote} here` };
    const claim = await ports.catalog().claim({
      full_name: `${namespace}/${name}`,
      repository,
      url: `https://${repository}`,
      verified: false,
    });
    if (claim.kind === "taken") return { why_not: "the name belongs to another repository" };
    if (follow.why === "dependency") {
      const versions = [{ ref, erl }];
      const query = { namespace, name, versions, success: true, newest: true, strangers: false };
      const [there] = await ports.catalog().packages({ ...query, limit: 1 });
      if (there !== undefined) return there;
    }
    const request = { id, key, target, pool, caller: row.posted_by, credential: null };
    const answer = await ports.target(key).request(request);
    if (answer.kind === "refused") throw new Postponed(answer.code);
    return answer.kind === "published" ? answer : answer.build;
  }

  #settle(key: string, answer: Answer): void {
    const { rows, outbox } = this.#parts;
    const row = rows.build();
    const follow = row?.follows.find((one) => keyOf(row, one) === key);
    if (row === null || follow === undefined) return;
    const settled = "why_not" in answer ? [] : [{ ...follow, build_id: answer.build_id }];
    this.#life.step(() => {
      rows.patch({ follows: row.follows.flatMap((one) => (one === follow ? settled : [one])) });
      if (row.stage === "ended") outbox.put("catalog", row.id, null);
      else if ("why_not" in answer) this.#life.say("warning", refusalText(follow, answer.why_not));
    });
  }
}

function keyOf(row: BuildRow, follow: Follow): string | null {
  const target = targetOf(row, follow);
  return target && erlangTargetKey(target);
}

function refusalText({ namespace, name, ref, remote, path }: Follow, why: string): string {
  const repository = [remote, ...path].join("/");
  return `${namespace}/${name} ${ref} of ${repository}, which this leads to, is not built: ${why}.`;
}

/** Null where nothing may follow. */
function targetOf(row: BuildRow, follow: Follow): ErlangTarget | null {
  const { target } = row;
  if (target.recipe !== "erlang" || target.asked.kind !== "package") return null;
  const depth = target.asked.depth + 1;
  if (depth > FOLLOW_DEPTH) return null;
  const { remote, path, namespace, name, ref, erl } = follow;
  return {
    recipe: "erlang",
    asked: { kind: "package", remote, path, namespace, name, ref, notify: false, depth },
    erl,
    visibility: "public",
  };
}
