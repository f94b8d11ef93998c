/** Pieces that several pages share. */
import type { Child, FC } from "hono/jsx";
import type { BuildRecord } from "../../shared/builds.ts";
import { agoText, recipeWord, STATE_WORDS, timeText, titleOf } from "./words.ts";

/** The state of a build, as a word; its colour says no more than the word. */
export const State: FC<{ state: BuildRecord["state"] }> = ({ state }) => (
  <span class={`state ${state}`}>{STATE_WORDS[state]}</span>
);

export const Time: FC<{ time: string; ago?: boolean }> = ({ time, ago = false }) => (
  <time datetime={time} title={time}>
    {ago ? agoText(time, Date.now()) : timeText(time)}
  </time>
);

/** Lines for a terminal. */
export const Terminal: FC<{ children?: Child }> = ({ children }) => (
  <pre class="terminal">
    <code>{children}</code>
  </pre>
);

/** What is wide scrolls inside of its own frame, not the page. */
export const Wide: FC<{ label: string; children?: Child }> = ({ label, children }) => (
  <section class="wide" tabindex={0} aria-label={label}>
    {children}
  </section>
);

/** Builds as a list, in the order in which they were asked for, the last one first. */
export const BuildList: FC<{ builds: readonly BuildRecord[] }> = ({ builds }) => (
  <ul class="builds">
    {builds.map((record) => {
      const { name, version, variant } = titleOf(record);
      return (
        <li>
          <a href={`/builds/${record.build_id}`}>
            <span class="name">{name}</span>
            {version === null ? null : <span class="version">{version}</span>}
            {variant === null ? null : <span class="variant">{variant}</span>}
          </a>
          <span class="meta">
            <State state={record.state} />
            <span class="recipe">{recipeWord(record.recipe)}</span>
            <Time time={record.queued_at} ago />
          </span>
        </li>
      );
    })}
  </ul>
);

/** Where builds need a token, it is asked for with the form; where they need none, it may be given. */
export const TokenField: FC<{ required: boolean; id: string }> = ({ required, id }) => (
  <p class="field token">
    <label for={id}>
      Railhead token{" "}
      <span class="hint">{required ? "needed here to build" : "if you have one"}</span>
    </label>
    <input
      id={id}
      type="password"
      name="token"
      autocomplete="off"
      maxlength={200}
      required={required}
      spellcheck={false}
    />
  </p>
);
