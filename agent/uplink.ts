/**
 * The line from one attempt to its Build: sends the spool in order within the credit window, asks for uploads, reports
 * the result. After every cut it comes back, says `start` again and goes on behind what the Build has stored.
 */
import {
  LOG_FLUSH_MS,
  LOG_FRAME_BYTES,
  LOG_WINDOW_FRAMES,
  SUSPECT_AFTER_MS,
} from "../shared/limits.ts";
import {
  type AttemptDown,
  type AttemptUp,
  CLOSE,
  PROTOCOL_VERSION,
  parseAttemptDown,
} from "../shared/protocol.ts";
import { pause } from "./backoff.ts";
import { edgeUrl } from "./edge.ts";
import type { Logger } from "./logger.ts";
import type { Clock, LineEnd, Net, Random } from "./ports.ts";
import { describeEnd, Socket } from "./socket.ts";
import type { Spool } from "./spool.ts";

type Down<T extends AttemptDown["t"]> = Extract<AttemptDown, { t: T }>;
type Up<T extends AttemptUp["t"]> = Extract<AttemptUp, { t: T }>;

/** Milliseconds the Build has to answer `start`. */
const READY_MS = SUSPECT_AFTER_MS;
/** Milliseconds a connection must last before the next pause starts small again. */
const STEADY_MS = 10_000;
/** Statuses of a refused upgrade that mean: this attempt is not yours any more. */
const OVER_STATUS = new Set([401, 403, 404, 409, 410]);

export type UploadAnswer = Down<"upload_ready"> | Down<"upload_failed">;
export type UploadedAnswer = Down<"upload_ok"> | Down<"upload_failed">;

type UplinkPorts = { clock: Clock; random: Random; net: Pick<Net, "dial"> };

export type UplinkEvents = {
  /** The Build has stored nothing newer than `acked`, and hands out what the fetch may use. */
  ready(frame: Down<"ready">): void;
  cancel(frame: Down<"cancel">): void;
  /** The attempt is over for this agent. */
  over(reason: string): void;
};

/** A question that is asked again on every connection until it is answered. */
type Question = { frame: AttemptUp; answer: (frame: AttemptDown) => void; behindLog: boolean };

export class Uplink {
  readonly #ports: UplinkPorts;
  readonly #url: URL;
  readonly #lease: string;
  readonly #start: Up<"start">;
  readonly #spool: Spool;
  readonly #log: Logger;
  readonly #events: UplinkEvents;
  readonly #signal: AbortSignal;
  readonly #questions = new Map<string, Question>();
  #phase: Up<"phase"> | null = null;
  #socket: Socket | null = null;
  #ready = false;
  /** Last entry sent on this connection. */
  #sent = 0;
  /** Last entry of each log frame that is not acknowledged yet. */
  #window: number[] = [];
  /** Calls the next flush off; null when none is due. */
  #flush: (() => void) | null = null;
  /** Questions that this connection has heard. */
  #asked = new Set<string>();

  constructor(parts: {
    ports: UplinkPorts;
    edge: string;
    build: string;
    attempt: number;
    lease: string;
    instance: string;
    workspace: string;
    spool: Spool;
    log: Logger;
    events: UplinkEvents;
    /** Ends the uplink. */
    signal: AbortSignal;
  }) {
    this.#ports = parts.ports;
    this.#url = edgeUrl(parts.edge, `agent/builds/${parts.build}/attempts/${parts.attempt}`, true);
    this.#lease = parts.lease;
    this.#start = {
      t: "start",
      protocol: PROTOCOL_VERSION,
      instance: parts.instance,
      workspace: parts.workspace,
    };
    this.#spool = parts.spool;
    this.#log = parts.log;
    this.#events = parts.events;
    this.#signal = parts.signal;
  }

  /** Holds the line until the signal aborts or the Build says that the attempt is over. */
  async run(): Promise<void> {
    const watching = this.#watchSpool();
    let failures = 0;
    while (!this.#signal.aborted) {
      const began = this.#ports.clock.now();
      const end = await this.#session();
      if (this.#signal.aborted) break;
      const over = overReason(end);
      if (over !== null) {
        this.#events.over(over);
        break;
      }
      this.#log.warn("attempt disconnected", { why: describeEnd(end) });
      if (this.#ports.clock.now() - began > STEADY_MS) failures = 0;
      await pause(this.#ports, failures++, this.#signal);
    }
    await watching;
  }

  /** Shows the phase at the Build; told again on each connection. */
  phase(phase: string): void {
    this.#phase = { t: "phase", phase };
    if (this.#ready) this.#send(this.#phase);
  }

  /** Where the bytes of a file go. */
  upload(frame: Omit<Up<"upload">, "t">): Promise<UploadAnswer> {
    return this.#ask(`upload ${frame.upload}`, { t: "upload", ...frame });
  }

  /** The right to send one part. */
  ticket(upload: string, part: number): Promise<Down<"ticket"> | Down<"upload_failed">> {
    return this.#ask(`ticket ${upload} ${part}`, { t: "ticket", upload, part });
  }

  uploaded(upload: string, parts: Up<"uploaded">["parts"]): Promise<UploadedAnswer> {
    return this.#ask(`uploaded ${upload}`, { t: "uploaded", upload, parts });
  }

  /** Whether the attempt may change what others see (rule 7); who may not is told by `cancel` or `over`. */
  permit(): Promise<Down<"permit_ok">> {
    return this.#ask("permit", { t: "permit" });
  }

  /** Asked once all the log was sent. Settles when the Build has stored it. */
  result(result: Omit<Up<"result">, "t">): Promise<Down<"result_ok">> {
    return this.#ask("result", { t: "result", ...result }, true);
  }

  /** Settles with the answer; rejects with the signal's reason when the uplink ends before. */
  #ask<A extends AttemptDown>(key: string, frame: AttemptUp, behindLog = false): Promise<A> {
    return new Promise((resolve, reject) => {
      const stop = () => {
        this.#questions.delete(key);
        reject(this.#signal.reason);
      };
      if (this.#signal.aborted) return stop();
      this.#signal.addEventListener("abort", stop, { once: true });
      const answer = (given: AttemptDown) => {
        this.#signal.removeEventListener("abort", stop);
        this.#questions.delete(key);
        resolve(given as A);
      };
      this.#questions.set(key, { frame, answer, behindLog });
      this.#pump();
    });
  }

  #session(): Promise<LineEnd> {
    return new Promise((resolve) => {
      let inTime = () => {};
      const stop = () => {
        // Nobody waits for the other side's goodbye: the slot is free.
        this.#ready = false;
        socket.close(1000, "done");
        resolve({ kind: "closed", code: 1000, reason: "done" });
      };
      const socket = new Socket(this.#ports, this.#url, this.#lease, {
        opened: () => {
          socket.send(JSON.stringify(this.#start));
          socket.startHeartbeat();
          inTime = this.#ports.clock.after(READY_MS, () => socket.terminate());
        },
        text: (text) => {
          const parsed = parseAttemptDown(text);
          if ("error" in parsed) {
            this.#log.error("bad frame from the edge", { what: parsed.error });
            return socket.close(CLOSE.badFrame, "bad frame");
          }
          if (parsed.frame?.t === "ready") inTime();
          if (parsed.frame) this.#take(parsed.frame, socket);
        },
        ended: (end) => {
          inTime();
          this.#callOffFlush();
          this.#signal.removeEventListener("abort", stop);
          this.#ready = false;
          this.#socket = null;
          resolve(end);
        },
      });
      this.#socket = socket;
      this.#signal.addEventListener("abort", stop, { once: true });
    });
  }

  #take(frame: AttemptDown, socket: Socket): void {
    switch (frame.t) {
      case "ready":
        this.#begin(frame);
        break;
      case "ack":
        this.#acknowledged(frame.seq);
        break;
      case "cancel":
        this.#events.cancel(frame);
        break;
      case "refused":
        socket.close(1000, "refused");
        this.#events.over(frame.message);
        break;
      case "upload_ready":
        this.#answer(`upload ${frame.upload}`, frame);
        break;
      case "ticket":
        this.#answer(`ticket ${frame.upload} ${frame.part}`, frame);
        break;
      case "upload_ok":
        this.#answer(`uploaded ${frame.upload}`, frame);
        break;
      case "upload_failed":
        for (const key of [...this.#questions.keys()])
          if (key.split(" ")[1] === frame.upload) this.#answer(key, frame);
        break;
      case "permit_ok":
        this.#answer("permit", frame);
        break;
      case "result_ok":
        this.#answer("result", frame);
        break;
    }
  }

  /** On every connection: what the Build has decides where we go on. */
  #begin(frame: Down<"ready">): void {
    this.#events.ready(frame);
    if (this.#signal.aborted) return;
    this.#spool.ack(frame.acked);
    this.#sent = frame.acked;
    this.#window = [];
    this.#asked.clear();
    this.#ready = true;
    if (this.#phase) this.#send(this.#phase);
    this.#pump();
  }

  #acknowledged(seq: number): void {
    this.#spool.ack(seq);
    this.#window = this.#window.filter((last) => last > seq);
    this.#pump();
  }

  #answer(key: string, frame: AttemptDown): void {
    this.#asked.delete(key);
    this.#questions.get(key)?.answer(frame);
  }

  async #watchSpool(): Promise<void> {
    while (!this.#signal.aborted) {
      await this.#spool.changed(this.#signal);
      this.#schedule();
    }
  }

  /** Sends full frames at once, and what is less after a moment in which more may come. */
  #schedule(): void {
    const waiting = this.#spool.bytesAfter(this.#sent);
    if (!this.#ready || waiting === 0) return;
    if (waiting >= LOG_FRAME_BYTES) this.#pump();
    else this.#flush ??= this.#ports.clock.after(LOG_FLUSH_MS, () => this.#pump());
  }

  #callOffFlush(): void {
    this.#flush?.();
    this.#flush = null;
  }

  #pump(): void {
    if (!this.#ready) return;
    this.#callOffFlush();
    while (this.#window.length < LOG_WINDOW_FRAMES) {
      const batch = this.#spool.batch(this.#sent, LOG_FRAME_BYTES);
      if (!batch) break;
      if (!this.#socket?.send(`{"t":"log","entries":[${batch.entries.join(",")}]}`)) return;
      this.#sent = batch.last;
      this.#window.push(batch.last);
    }
    for (const [key, { frame, behindLog }] of this.#questions) {
      if (this.#asked.has(key) || (behindLog && this.#sent < this.#spool.last)) continue;
      this.#asked.add(key);
      this.#send(frame);
    }
  }

  #send(frame: AttemptUp): void {
    this.#socket?.send(JSON.stringify(frame));
  }
}

/** Why a connection's end ends the attempt for this agent; null when it should come back. */
function overReason(end: LineEnd): string | null {
  if (end.kind === "refused" && OVER_STATUS.has(end.refusal.status)) return end.refusal.message;
  if (end.kind !== "closed") return null;
  if (end.code === CLOSE.attemptOver) return end.reason || "the attempt is over";
  return end.code === CLOSE.forbidden ? end.reason || "the lease is not good" : null;
}
