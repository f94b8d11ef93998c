/**
 * The mail that the end of a build may lead to: one, to whoever made the commit (spec erlang.md, `notify_email`). It is
 * written down in the step that ends the build; from then on the address stands nowhere else, and nobody waits for it.
 */
import { NOTICE_LINES, noticeOf } from "../../shared/notice.ts";
import { packageOf } from "../../shared/recipes/erlang.ts";
import type { BuildParts } from "./build-parts.ts";
import type { OutgoingMail } from "./build-ports.ts";
import { Postponed } from "./outbox.ts";

const VERB = "notice";
/** Milliseconds for which it is tried to send a mail: a later one is of no use to anybody. */
const SENDING_MS = 15 * 60_000;
/** Bytes of the log's end in which the lines to be shown are looked for. */
const TAIL_BYTES = 16 * 1024;

type Planned = { mail: OutgoingMail; until: number };

/** Call it in the step that ends the build. */
export function planNotice({ ports, rows, log, outbox }: BuildParts): void {
  const committer = rows.takeCommitter();
  const row = rows.build();
  if (row === null || committer === null || ports.mail === null) return;
  const { target, outcome, reason } = row;
  if (target.recipe !== "erlang" || target.asked.kind !== "package" || !target.asked.notify) return;
  const made = packageOf(target, row.facts);
  if (made === null || outcome === "cancelled") return;
  const page = `${ports.mail.origin}/builds/${row.id}`;
  const { entries } = log.page(log.beforeEnd(TAIL_BYTES), TAIL_BYTES);
  const notice = noticeOf({
    package: made,
    succeeded: outcome === "succeeded",
    reason,
    page,
    log: `${page}/logs`,
    tail: entries
      .filter(({ stream }) => stream !== undefined)
      .slice(-NOTICE_LINES)
      .map(({ msg }) => msg),
  });
  const mail = { to: committer, ...notice };
  const planned: Planned = { mail, until: ports.clock.now() + SENDING_MS };
  outbox.put(VERB, row.id, planned);
}

export class Notices {
  readonly #parts: BuildParts;
  #sending = false;

  constructor(parts: BuildParts) {
    this.#parts = parts;
  }

  /** Begins to send what was planned. Throws Postponed: the message goes from the outbox when the mail has gone out. */
  deliver(id: string, body: unknown): void {
    const { ports } = this.#parts;
    if (ports.mail === null) return;
    if (!this.#sending) {
      this.#sending = true;
      ports.background(this.#send(id, body as Planned));
    }
    throw new Postponed("the mail is on its way");
  }

  async #send(id: string, { mail, until }: Planned): Promise<void> {
    const { ports, outbox } = this.#parts;
    try {
      const answer = await ports.mail?.send(mail, `railhead-${id}`);
      const over = answer !== "later" || ports.clock.now() >= until;
      if (over && answer !== "sent")
        ports.report(`mail of build ${id}`, new Error("it was given up"));
      if (over) outbox.drop(VERB, id);
    } finally {
      this.#sending = false;
    }
  }
}
