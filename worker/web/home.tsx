/** The front page, and what a search found. */
import type { FC } from "hono/jsx";
import type { BuildRecord } from "../../shared/builds.ts";
import { BuildList, Terminal } from "./parts.tsx";
import { LISTED_RECIPES } from "./words.ts";

export const Home: FC<{ builds: readonly BuildRecord[]; origin: string; token: boolean }> = ({
  builds,
  origin,
  token,
}) => (
  <>
    <section class="intro">
      <h1>One address builds and hands out your software</h1>
      <p>
        Name a repository and a version. An agent on a Docker host makes the binary or the package,
        and everybody downloads it from here.
      </p>
      <SearchForm q="" recipe="" />
    </section>
    <section aria-labelledby="latest">
      <h2 id="latest">Latest builds</h2>
      {builds.length === 0 ? (
        <p class="empty">
          Nothing was built yet. <a href="/add">Add the first build</a>.
        </p>
      ) : (
        <>
          <BuildList builds={builds} />
          <p class="more">
            <a href="/?q=">All builds</a>
          </p>
        </>
      )}
    </section>
    <section aria-labelledby="start">
      <h2 id="start">How to start</h2>
      <p>
        In a browser: <a href="/add">add a build</a>. From a terminal, for a Go program:
      </p>
      <Terminal>
        {`curl -X POST ${origin}/github.com/owner/repo/linux/amd64/v1.0.0${
          token ? ' \\\n  -H "Authorization: Bearer $RAILHEAD_TOKEN"' : ""
        }
curl -fOJL   ${origin}/github.com/owner/repo/linux/amd64/v1.0.0`}
      </Terminal>
      <p>An Erlang package:</p>
      <Terminal>
        {`curl -X POST ${origin}/buildAsync \\
  -H 'Content-Type: application/json'${token ? ' -H "Authorization: Bearer $RAILHEAD_TOKEN"' : ""} \\
  -d '{"full_name": "owner/repo", "clone_url": "https://github.com/owner/repo.git",
       "versions": [{"ref": "1.0.0"}]}'`}
      </Terminal>
      {token ? <p>Whoever runs this place hands out tokens. Downloads need none.</p> : null}
    </section>
  </>
);

export type Search = { q: string; recipe: string };

export const Results: FC<{
  search: Search;
  builds: readonly BuildRecord[];
  /** Leads to the next page; null on the last. */
  next: string | null;
  /** Whether there are pages before this one. */
  further: boolean;
}> = ({ search, builds, next, further }) => (
  <>
    <h1>{search.q === "" ? "Builds" : `Builds for “${search.q}”`}</h1>
    <SearchForm {...search} />
    {builds.length === 0 ? (
      <p class="empty">
        {further ? "There are no more." : "Nothing was found."} A build that is not there yet can be{" "}
        <a href="/add">added</a>.
      </p>
    ) : (
      <BuildList builds={builds} />
    )}
    <nav class="pages" aria-label="Pages">
      {further ? <a href={resultsPath(search, null)}>First page</a> : null}
      {next === null ? null : (
        <a rel="next" href={resultsPath(search, next)}>
          Older builds
        </a>
      )}
    </nav>
  </>
);

function resultsPath({ q, recipe }: Search, cursor: string | null): string {
  const query = new URLSearchParams({ q });
  if (recipe !== "") query.set("recipe", recipe);
  if (cursor !== null) query.set("cursor", cursor);
  return `/?${query}`;
}

const SearchForm: FC<Search> = ({ q, recipe }) => (
  <search>
    <form class="search" action="/" method="get">
      <div class="field">
        <label for="q">Owner, name or repository</label>
        <input id="q" type="search" name="q" value={q} maxlength={200} />
      </div>
      <fieldset class="choices">
        <legend>Recipe</legend>
        {[["", "All"], ...Object.entries(LISTED_RECIPES)].map(([value, word]) => (
          <label>
            <input type="radio" name="recipe" value={value} checked={value === recipe} /> {word}
          </label>
        ))}
      </fieldset>
      <button type="submit">Search</button>
    </form>
  </search>
);
