/** The form that adds builds: first the repository, then what to build of it, then what came of that. */
import type { FC } from "hono/jsx";
import { TokenField, Wide } from "./parts.tsx";
import type { LISTED_RECIPES } from "./words.ts";

export type AddRecipe = keyof typeof LISTED_RECIPES;

export const AddRepository: FC<{ repository: string; recipe: AddRecipe }> = ({
  repository,
  recipe,
}) => (
  <form class="add" action="/add" method="get">
    <div class="field">
      <label for="repository">Repository</label>
      <input
        id="repository"
        type="text"
        inputmode="url"
        name="repository"
        value={repository}
        required
        maxlength={1_000}
        placeholder="https://github.com/owner/repo"
        autocapitalize="none"
        spellcheck={false}
        aria-describedby="repository-hint"
      />
      <span id="repository-hint" class="hint">
        A public one. What is private is built from a terminal, with a token of its git host.
      </span>
    </div>
    <fieldset class="choices">
      <legend>What is it?</legend>
      <label>
        <input type="radio" name="recipe" value="go" checked={recipe === "go"} /> A Go program
      </label>
      <label>
        <input type="radio" name="recipe" value="erlang" checked={recipe === "erlang"} /> An Erlang
        package
      </label>
    </fieldset>
    <button type="submit">Show its versions</button>
  </form>
);

/** One way to build a version. `value` is empty for the repository's own choice. */
export type Variant = { value: string; word: string };

export type ChooseProps = {
  /** As it was written. */
  repository: string;
  /** `remote/owner/repo` */
  name: string;
  recipe: AddRecipe;
  /** Newest first. */
  tags: readonly string[];
  /** Whether there are tags that are not listed. */
  more: boolean;
  variants: readonly Variant[];
  token: boolean;
  /** Builds that one form may ask for. */
  most: number;
};

export const AddVersions: FC<ChooseProps> = (props) => {
  const { repository, name, recipe, tags, more, variants, token, most } = props;
  return (
    <form class="add" action="/add" method="post">
      <input type="hidden" name="repository" value={repository} />
      <input type="hidden" name="recipe" value={recipe} />
      <h2>Versions of {name}</h2>
      <p class="hint">
        {tags.length === 0 ? "It has no tags: write a branch or a commit. " : null}
        {more ? "The newest tags are listed; any other can be written below them. " : null}
        At most {most} builds at once.
      </p>
      <Wide label="Versions to build">
        <table class="picks">
          <thead>
            <tr>
              <th scope="col">Version</th>
              {variants.map(({ word }) => (
                <th scope="col">{word}</th>
              ))}
            </tr>
          </thead>
          <tbody>
            {tags.map((tag, row) => (
              <tr>
                <th scope="row">{tag}</th>
                {variants.map(({ value, word }, column) => (
                  <td>
                    <label class="pick">
                      <input
                        type="checkbox"
                        name="pick"
                        value={`${tag} ${value}`}
                        checked={row === 0 && column === 0}
                        aria-label={`${tag}, ${word}`}
                      />
                    </label>
                  </td>
                ))}
              </tr>
            ))}
            <tr>
              <th scope="row">
                <label for="other">Another version</label>
                <input
                  id="other"
                  name="other"
                  maxlength={128}
                  placeholder="tag, branch or commit"
                  autocapitalize="none"
                  spellcheck={false}
                />
              </th>
              {variants.map(({ value, word }) => (
                <td>
                  <label class="pick">
                    <input
                      type="checkbox"
                      name="other-variant"
                      value={value}
                      aria-label={`another version, ${word}`}
                    />
                  </label>
                </td>
              ))}
            </tr>
          </tbody>
        </table>
      </Wide>
      {token ? <TokenField id="add-token" required /> : null}
      <button type="submit">Build what is ticked</button>
    </form>
  );
};

/** What came of one wish. */
export type Outcome = {
  version: string;
  word: string;
  /** What happened, as a sentence. */
  text: string;
  /** Where to look; null where there is nothing to see. */
  href: string | null;
  ok: boolean;
};

export const AddOutcomes: FC<{ name: string; outcomes: readonly Outcome[]; again: string }> = ({
  name,
  outcomes,
  again,
}) => (
  <>
    <h1>Builds of {name}</h1>
    <ul class="outcomes">
      {outcomes.map(({ version, word, text, href, ok }) => (
        <li class={ok ? "ok" : "refused"}>
          <strong>
            {version} {word}
          </strong>
          <span>{href === null ? text : <a href={href}>{text}</a>}</span>
        </li>
      ))}
    </ul>
    <p>
      <a href={again}>Add more</a>
    </p>
  </>
);
