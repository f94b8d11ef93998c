/** An edge without decisions, for tests of the host alone: one build, every frame stored and answered at once. */
import type { LineEvents } from "../../../agent/ports.ts";
import type { AgentEntry } from "../../../shared/log.ts";
import type { AttemptDown, AttemptUp, ControlDown, ControlUp } from "../../../shared/protocol.ts";
import type { GoTarget } from "../../../shared/recipes/go.ts";
import type { Life } from "../kernel.ts";

const DELAY_MS = 5;

export const TARGET: GoTarget = {
  recipe: "go",
  remote: "git.example",
  path: ["owner", "repository"],
  goos: "linux",
  goarch: "amd64",
  version: "v1.0.0",
  make: null,
  commit: "c".repeat(40),
  visibility: "private",
  advertised: true,
};

type Result = Extract<AttemptUp, { t: "result" }>;

export class ScriptedEdge {
  readonly build: string;
  readonly credentials: string[];
  readonly entries: AgentEntry[] = [];
  readonly files: string[] = [];
  result: Result | null = null;
  done = false;
  /** Called before the build is assigned. */
  beforeAssign: () => void = () => {};
  /** Starts that were told. */
  starts = 0;
  #assigned = false;

  constructor(build: string, credentials: string[] = []) {
    this.build = build;
    this.credentials = credentials;
  }

  dial(from: Life, _host: string, url: URL, _bearer: string, events: LineEvents) {
    let open = false;
    const soon = (run: () => void) => void from.after(DELAY_MS, "the edge answers", run);
    const down = (frame: ControlDown | AttemptDown) =>
      soon(() => {
        if (open) events.text(JSON.stringify(frame));
      });
    const end = (code: number) =>
      soon(() => {
        if (!open) return;
        open = false;
        events.ended({ kind: "closed", code, reason: "" });
      });
    soon(() => {
      open = true;
      events.opened();
    });
    const control = url.pathname === "/agent/control";
    return {
      send: (data: string | Uint8Array) => {
        const text = String(data);
        if (text === "ping") soon(() => open && events.text("pong"));
        else if (control) this.#control(JSON.parse(text), down);
        else this.#attempt(JSON.parse(text), down);
        return open;
      },
      room: () => null,
      close: (code: number) => end(code),
      terminate: () => end(1006),
    };
  }

  async request(from: Life, _host: string, url: URL, init: { body: Uint8Array | null }) {
    const answer = (body: unknown) =>
      from.later(DELAY_MS, "the edge answers", () => ({
        status: 200,
        type: "application/json",
        body: JSON.stringify(body),
      }));
    if (url.pathname === "/agent/nonce")
      return answer({ nonce: "n".repeat(43), time_ms: Math.floor(from.kernel.now) });
    this.files.push(Buffer.from(init.body ?? []).toString());
    return answer({ etag: "etag" });
  }

  #control(frame: ControlUp, down: (frame: ControlDown) => void): void {
    const { build } = this;
    if (frame.t === "hello") {
      const drop = this.result ? frame.held : [];
      this.#assigned = frame.held.length > 0 || this.result !== null;
      down({ t: "welcome", epoch: 1, agent: "default.0000000000000000", name: "a", drop });
    }
    if (!this.#assigned && (frame.t === "status" || frame.t === "hello") && !frame.unwell) {
      this.#assigned = true;
      this.beforeAssign();
      const lease = "l".repeat(32);
      down({ t: "assign", build, attempt: 1, target: TARGET, lease, deadline_ms: 600_000 });
    }
    // It comes again once the agent says that it is well.
    if (frame.t === "reject") this.#assigned = false;
    if (frame.t === "done") this.done = true;
  }

  #attempt(frame: AttemptUp, down: (frame: AttemptDown) => void): void {
    const acked = this.entries.length;
    switch (frame.t) {
      case "start":
        this.starts += 1;
        down({ t: "ready", acked, credentials: this.credentials });
        break;
      case "log":
        this.entries.push(...frame.entries.filter(({ seq }) => seq > acked));
        down({ t: "ack", seq: this.entries.length });
        break;
      case "upload":
        down({ t: "upload_ready", upload: frame.upload, part_size: 1_000_000, parts: 1 });
        break;
      case "ticket":
        down({ t: "ticket", upload: frame.upload, part: frame.part, ticket: "ticket" });
        break;
      case "uploaded":
        down({ t: "upload_ok", upload: frame.upload });
        break;
      case "result":
        this.result = frame;
        down({ t: "result_ok", state: "succeeded" });
        break;
    }
  }
}
