/** One build: how it stands, what came of it, what may be done with it, its log. */
import type { Child, FC } from "hono/jsx";
import { type BuildRecord, isTerminal } from "../../shared/builds.ts";
import type { LogTail } from "../log-tail.ts";
import { Log } from "./log.tsx";
import { State, Terminal, Time, TokenField } from "./parts.tsx";
import {
  canRebuild,
  durationText,
  packagePath,
  recipeWord,
  sizeText,
  sourceOf,
  standing,
  titleOf,
} from "./words.ts";

type BuildProps = {
  record: BuildRecord;
  /** Whether builds need a token here. */
  token: boolean;
};

/** Elements with `data-part` are put in the place of their predecessors while the build goes on. */
export const BuildPage: FC<BuildProps & { tail: LogTail | null }> = ({ record, token, tail }) => {
  const { name, version, variant } = titleOf(record);
  const path = packagePath(record);
  return (
    <article class="build">
      <h1>
        {path === null ? name : <a href={path}>{name}</a>}
        {version === null ? null : <span class="version">{version}</span>}
        {variant === null ? null : <span class="variant">{variant}</span>}
      </h1>
      <div id="standing" data-part class={`standing ${record.state}`} role="status">
        <State state={record.state} />
        <p>{standing(record)}</p>
      </div>
      <div id="made" data-part data-state={isTerminal(record.state) ? "ended" : record.state}>
        <Artifacts record={record} />
        <Follows record={record} />
      </div>
      <div id="actions" data-part>
        <Actions record={record} token={token} />
      </div>
      {tail === null ? null : <Log build={record.build_id} tail={tail} />}
      <div id="facts" data-part>
        <Facts record={record} />
      </div>
    </article>
  );
};

const Artifacts: FC<{ record: BuildRecord }> = ({ record }) => {
  const { artifacts, digest, target } = record;
  const first = artifacts[0];
  return (
    <>
      {digest !== null && target.recipe === "image" ? (
        <section aria-labelledby="image">
          <h2 id="image">Image</h2>
          <p>
            Pushed with the digest <code class="hash">{digest}</code>.
          </p>
          <Terminal>{`docker pull ${target.image}`}</Terminal>
        </section>
      ) : null}
      {first === undefined ? null : (
        <section aria-labelledby="files">
          <h2 id="files">Files</h2>
          <ul class="files">
            {artifacts.map(({ name, size, sha256, url }) => (
              <li>
                <a class="download" href={url} download>
                  {name}
                </a>{" "}
                <span class="size">{sizeText(size)}</span>
                <span class="sum">
                  SHA-256 <code class="hash">{sha256}</code>
                </span>
              </li>
            ))}
          </ul>
          <Terminal>{`curl -fOJL '${first.url}'`}</Terminal>
        </section>
      )}
    </>
  );
};

/** Builds that this one asked for: further Erlang versions, and dependencies. */
const Follows: FC<{ record: BuildRecord }> = ({ record: { follows } }) =>
  follows.length === 0 ? null : (
    <section aria-labelledby="follows">
      <h2 id="follows">Led to</h2>
      <ul class="outcomes">
        {follows.map(({ build_id, namespace, name, ref, erl, why }) => {
          const word = `${namespace}/${name} ${ref} Erlang ${erl}`;
          return (
            <li>
              {build_id === null ? word : <a href={`/builds/${build_id}`}>{word}</a>}
              <span class="hint">{why}</span>
            </li>
          );
        })}
      </ul>
    </section>
  );

const Actions: FC<BuildProps> = ({ record, token }) => {
  const { build_id, state } = record;
  if (!isTerminal(state))
    return (
      <Action build={build_id} verb="cancel" word="Cancel the build" token={token}>
        Whoever posted it may cancel it.
      </Action>
    );
  if (!canRebuild(record)) return null;
  return <Action build={build_id} verb="rebuild" word="Build it again" token={token} />;
};

const Action: FC<{
  build: string;
  verb: "cancel" | "rebuild";
  word: string;
  token: boolean;
  children?: Child;
}> = ({ build, verb, word, token, children }) => (
  <form class="action" method="post" action={`/builds/${build}/${verb}`}>
    {token ? <TokenField id={`${verb}-token`} required /> : null}
    <button type="submit" class={verb}>
      {word}
    </button>
    {children === undefined ? null : <span class="hint">{children}</span>}
    {token ? null : (
      <details>
        <summary>With a token</summary>
        <TokenField id={`${verb}-token`} required={false} />
      </details>
    )}
  </form>
);

const Facts: FC<{ record: BuildRecord }> = ({ record }) => {
  const { timings } = record;
  const phases = Object.entries(timings.phases);
  const facts: [string, Child | null][] = [
    ["Recipe", recipeWord(record.recipe)],
    ["Source", sourceOf(record)],
    ["Commit", record.commit === null ? null : <code class="hash">{record.commit}</code>],
    ["Agent", record.agent],
    ["Attempt", record.attempt > 1 ? String(record.attempt) : null],
    ["Class", record.class === null ? null : <code>{record.class}</code>],
    ["Queued", <Time time={record.queued_at} />],
    ["Started", record.started_at === null ? null : <Time time={record.started_at} />],
    ["Ended", record.ended_at === null ? null : <Time time={record.ended_at} />],
    ["Waited", timings.queued_ms === null ? null : durationText(timings.queued_ms)],
    ["Took", timings.running_ms === null ? null : durationText(timings.running_ms)],
    [
      "Phases",
      phases.length === 0
        ? null
        : phases.map(([phase, ms]) => `${phase} ${durationText(ms)}`).join(", "),
    ],
    ["Build", <code class="hash">{record.build_id}</code>],
  ];
  return (
    <section aria-labelledby="facts-title">
      <h2 id="facts-title">Details</h2>
      <dl class="facts">
        {facts.map(([word, value]) =>
          value === null ? null : (
            <div>
              <dt>{word}</dt>
              <dd>{value}</dd>
            </div>
          ),
        )}
      </dl>
    </section>
  );
};
