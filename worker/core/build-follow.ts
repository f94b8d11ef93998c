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
import type { BuildParts, Lifecycle } from "./build-lifecycle.ts";
import type { BuildRow } from "./build-rows.ts";

/** Bytes of a build id. */
const BUILD_ID_BYTES = 16;

/** The pool takes nothing more for now, which is no fault. */
export class Postponed extends Error {
  override name = "Postponed";
}

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
    const build_id = await this.#ask(row, follow, id);
    this.#settle(key, build_id);
  }

  /** The build that was asked for, or is there already; null when the name is another repository's. */
  async #ask(row: BuildRow, follow: Follow, id: string): Promise<string | null> {
    const { ports } = this.#parts;
    const target = targetOf(row, follow);
    const { namespace, name, ref, erl } = follow;
    const repository = [follow.remote, ...follow.path].join("/");
    const claim = await ports.catalog().claim({
      full_name: `${namespace}/${name}`,
      repository,
      url: `https://${repository}`,
      verified: false,
    });
    if (target === null || claim.kind === "taken") return null;
    if (follow.why === "dependency") {
      const versions = [{ ref, erl }];
      const query = { namespace, name, versions, success: true, newest: true, strangers: false };
      const [there] = await ports.catalog().packages({ ...query, limit: 1 });
      if (there !== undefined) return there.build_id;
    }
    const key = erlangTargetKey(target);
    const answer = await ports.target(key).request({
      id,
      key,
      target,
      pool: ports.poolFor(target.recipe, repository),
      caller: row.posted_by,
      credential: null,
    });
    if (answer.kind === "refused") throw new Postponed(answer.code);
    return answer.kind === "published" ? answer.build_id : answer.build.build_id;
  }

  #settle(key: string, build_id: string | null): void {
    const { rows, outbox } = this.#parts;
    const row = rows.build();
    const follow = row?.follows.find((one) => keyOf(row, one) === key);
    if (row === null || follow === undefined) return;
    const settled = build_id === null ? [] : [{ ...follow, build_id }];
    this.#life.step(() => {
      rows.patch({ follows: row.follows.flatMap((one) => (one === follow ? settled : [one])) });
      if (row.stage === "ended") outbox.put("catalog", row.id, null);
      else if (build_id === null) this.#life.say("warning", takenText(follow));
    });
  }
}

function keyOf(row: BuildRow, follow: Follow): string | null {
  const target = targetOf(row, follow);
  return target && erlangTargetKey(target);
}

function takenText({ namespace, name, ref }: Follow): string {
  return `The name ${namespace}/${name} belongs to another repository: ${ref} of this one is not built.`;
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
