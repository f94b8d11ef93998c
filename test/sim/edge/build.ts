/** As worker/objects/build.ts: one object a build, with the sockets of its attempts. */
import { type AttemptDown, CLOSE, parseAttemptUp } from "../../../shared/protocol.ts";
import { BuildCore } from "../../../worker/core/build.ts";
import type { Sockets } from "../../../worker/core/build-ports.ts";
import type { BuildRpc } from "../../../worker/core/contracts.ts";
import type { Edge } from "./edge.ts";
import type { Context, Problem, Shell, Upgrade } from "./object.ts";
import { closeQuietly, portsOf } from "./shells.ts";
import type { ServerSocket } from "./socket.ts";

type Attachment = { attempt: number; epoch: number };

const ATTEMPT_PATH = /\/attempts\/([1-9]\d{0,6})$/;
const INTERNAL_ERROR = 1011;

export class BuildShell implements Shell, BuildRpc {
  readonly #core: BuildCore;
  readonly #object: Context;

  constructor(context: Context, edge: Edge) {
    this.#object = context;
    this.#core = new BuildCore({
      ...portsOf(context),
      timer: context.timer,
      store: edge.bucket.storeOf(context),
      vault: edge.vault,
      sockets: socketsOf(context),
      mail: null,
      pool: (name) => edge.pool(context, name),
      catalog: () => edge.catalog(context),
      target: (key) => edge.target(context, key),
      app: () => ({ built: async () => {} }),
      poolFor: () => "default",
      background: (work) => context.background(work),
      report: (what, error) => context.report(what, error),
    });
    this.#core.resume();
  }

  ensure(...args: Parameters<BuildRpc["ensure"]>) {
    return this.#core.ensure(...args);
  }

  begin(...args: Parameters<BuildRpc["begin"]>) {
    return this.#core.begin(...args);
  }

  lost(...args: Parameters<BuildRpc["lost"]>) {
    return this.#core.lost(...args);
  }

  unplaceable(...args: Parameters<BuildRpc["unplaceable"]>) {
    return this.#core.unplaceable(...args);
  }

  context(...args: Parameters<BuildRpc["context"]>) {
    return this.#core.context(...args);
  }

  summary() {
    return this.#core.summary();
  }

  view() {
    return this.#core.view();
  }

  log(...args: Parameters<BuildRpc["log"]>) {
    return this.#core.log(...args);
  }

  wait(...args: Parameters<BuildRpc["wait"]>) {
    return this.#core.wait(...args);
  }

  settled(...args: Parameters<BuildRpc["settled"]>) {
    return this.#core.settled(...args);
  }

  cancel(...args: Parameters<BuildRpc["cancel"]>) {
    return this.#core.cancel(...args);
  }

  alarm() {
    return this.#core.alarm();
  }

  async fetch({ path, bearer }: Upgrade, socket: ServerSocket): Promise<"accepted" | Problem> {
    const attempt = Number(ATTEMPT_PATH.exec(path)?.[1] ?? 0);
    const verdict = await this.#core.admits(attempt, bearer);
    if (verdict === "unknown") return { status: 404, code: "no_such_build" };
    if (verdict === "forbidden") return { status: 403, code: "forbidden" };
    const tag = tagOf(attempt);
    for (const older of this.#object.sockets(tag))
      closeQuietly(older, CLOSE.replaced, "a newer socket of this attempt is open");
    const epoch = this.#core.opened(attempt);
    socket.attachment = { attempt, epoch } satisfies Attachment;
    this.#object.accept(socket, [tag]);
    return "accepted";
  }

  async message(socket: ServerSocket, text: string): Promise<void> {
    try {
      const { attempt, epoch } = socket.attachment as Attachment;
      if (!this.#core.isNewest(attempt, epoch)) return;
      const parsed = parseAttemptUp(text);
      if ("error" in parsed) closeQuietly(socket, CLOSE.badFrame, parsed.error);
      else if (parsed.frame !== null) await this.#core.receive(attempt, parsed.frame);
    } catch (error) {
      this.#object.report("attempt socket", error);
      closeQuietly(socket, INTERNAL_ERROR, "try again");
    }
  }

  closed(socket: ServerSocket, code: number, reason: string): void {
    closeQuietly(socket, code, reason);
  }
}

function tagOf(attempt: number): string {
  return `attempt:${attempt}`;
}

function socketsOf(context: Context): Sockets {
  const open = (attempt: number) =>
    context.sockets(tagOf(attempt)).filter(({ readyState }) => readyState === "open");
  return {
    send: (attempt: number, frame: AttemptDown) => {
      for (const socket of open(attempt)) socket.send(JSON.stringify(frame));
    },
    close: (attempt, code, reason) => {
      for (const socket of open(attempt)) closeQuietly(socket, code, reason);
    },
  };
}
