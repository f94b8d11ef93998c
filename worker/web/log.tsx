/** The log of a build: what is stored of it, which the script continues where there is one. */
import type { FC } from "hono/jsx";
import type { LogEntry } from "../../shared/log.ts";
import type { LogTail } from "../log-tail.ts";

export const Log: FC<{ build: string; tail: LogTail }> = ({ build, tail }) => {
  const position = tail.entries.at(-1)?.position ?? 0;
  return (
    <section class="logs" aria-labelledby="log-title">
      <div class="heading">
        <h2 id="log-title">Log</h2>
        <p id="log-state" role="status">
          {tail.end ? "Complete." : "As it stood when the page was loaded. Load it again for more."}
        </p>
        <a href={`/builds/${build}/logs`}>Whole log as text</a>
      </div>
      <p id="log-earlier" class="hint" hidden={tail.whole}>
        Earlier lines are not shown here. The whole log has them.
      </p>
      <section
        id="log"
        class="log"
        tabindex={0}
        aria-label="Log lines"
        data-url={`/builds/${build}/logs`}
        data-position={position}
        data-live={tail.end ? undefined : "yes"}
      >
        {tail.entries.map((entry) => (
          <div class={lineClass(entry)}>{entry.msg}</div>
        ))}
      </section>
      <p class="legend hint">
        <span class="sample ours">from Railhead</span>{" "}
        <span class="sample stderr">standard error</span>{" "}
        <button id="log-follow" type="button" hidden>
          Follow the end
        </button>
      </p>
    </section>
  );
};

/** The same words as in live.js. */
function lineClass({ stream, level }: LogEntry): string {
  if (stream === "stderr") return "line stderr";
  if (stream === "stdout") return "line";
  return level === "info" ? "line ours" : "line ours bad";
}
