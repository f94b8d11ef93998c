/**
 * Mail to committers over the SMTP relay of the agent's owner (spec erlang.md, `notify_email`): best effort, behind the
 * result, bounded in time. No address and nothing that a relay says of one reaches the agent's log.
 */
import type { BuildState } from "../shared/builds.ts";
import { committerSchema, type Notice, noticeOf } from "../shared/notice.ts";
import type { Learnt } from "../shared/protocol.ts";
import { packageOf } from "../shared/recipes/erlang.ts";
import type { Target } from "../shared/recipes/index.ts";
import { isLoopback } from "../shared/remotes.ts";
import { edgeUrl } from "./edge.ts";
import type { Logger } from "./logger.ts";
import type { Clock } from "./ports.ts";
import { within } from "./timing.ts";

/** Milliseconds for the connection, and for each answer. */
const ANSWER_MS = 10_000;
/** Milliseconds for one mail. */
const MAIL_MS = 30_000;

export type MailSettings = { url: string; from: string };

export type Letter = Notice & {
  to: string;
  /** Names it for ever: relays and mailboxes may know a second copy by it. */
  id: string;
};

/** How a build ended, as far as a letter tells of it. */
export type Told = {
  build: string;
  target: Target;
  learnt: Learnt;
  state: BuildState;
  reason: string | null;
  /** The last lines of the log. */
  tail: () => string[];
};

/** The committer of a build who is to be written to; null when nobody is. */
export function committerOf(target: Target, { committer }: Learnt): string | null {
  if (target.recipe !== "erlang" || target.asked.kind !== "package" || !target.asked.notify)
    return null;
  return committerSchema.safeParse(committer).data ?? null;
}

/** Null when there is nobody to write to, or nothing to say. */
export function letterOf(
  edge: string,
  { build, target, learnt, state, ...told }: Told,
): Letter | null {
  const to = committerOf(target, learnt);
  const made = target.recipe === "erlang" ? packageOf(target, learnt.package ?? null) : null;
  if (to === null || made === null || state === "cancelled") return null;
  const page = edgeUrl(edge, `/builds/${build}`);
  const notice = noticeOf({
    package: made,
    succeeded: state === "succeeded",
    reason: told.reason,
    page: page.href,
    log: `${page.href}/logs`,
    tail: told.tail(),
  });
  return { ...notice, to, id: `<${build}@${page.hostname}>` };
}

export class Relay {
  readonly #settings: MailSettings;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #sending = new Set<Promise<void>>();

  constructor(settings: MailSettings, clock: Clock, log: Logger) {
    this.#settings = settings;
    this.#clock = clock;
    this.#log = log;
  }

  /** Sends it behind whatever goes on. */
  send(letter: Letter): void {
    const sending = this.#send(letter)
      .catch((error: unknown) =>
        this.#log.warn("mail was not sent", { id: letter.id, ...causeOf(error) }),
      )
      .finally(() => this.#sending.delete(sending));
    this.#sending.add(sending);
  }

  /** Settles when nothing is under way. */
  async settled(): Promise<void> {
    await Promise.all(this.#sending);
  }

  async #send({ to, subject, text, id }: Letter): Promise<void> {
    // Most agents never write: a tenth of a second at their start is saved.
    const { createTransport } = await import("nodemailer");
    const { url, from } = this.#settings;
    const transport = createTransport({
      url,
      requireTLS: new URL(url).username !== "" && !isLoopback(httpForm(url)),
      connectionTimeout: ANSWER_MS,
      greetingTimeout: ANSWER_MS,
      socketTimeout: ANSWER_MS,
      disableFileAccess: true,
      disableUrlAccess: true,
    });
    try {
      const mail = {
        from,
        to: { name: "", address: to },
        subject,
        text,
        messageId: id,
        // RFC 3834: nobody's holiday notice is to answer.
        headers: { "auto-submitted": "auto-generated" },
      };
      const sent = transport.sendMail(mail);
      sent.catch(() => {});
      await within(this.#clock, sent, MAIL_MS, "the relay takes too long");
    } finally {
      transport.close();
    }
  }
}

function httpForm(url: string): string {
  return `http://${new URL(url).hostname}`;
}

/** What went wrong, without the relay's own words: they repeat the address. */
function causeOf(error: unknown): { code?: string; status?: number } {
  const { code, responseCode } = error as { code?: unknown; responseCode?: unknown };
  return {
    ...(typeof code === "string" && { code }),
    ...(typeof responseCode === "number" && { status: responseCode }),
  };
}
