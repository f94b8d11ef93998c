/** Everything that was built of one package or program: versions by variants. */
import type { FC } from "hono/jsx";
import type { BuildRecord } from "../../shared/builds.ts";
import { State, Terminal, Time, Wide } from "./parts.tsx";

const COMMON_PLATFORM = "linux/amd64";

/** One row of a package page. */
export type VersionRow = { version: string; builds: ReadonlyMap<string, BuildRecord> };

export type PackageProps = {
  name: string;
  /** Where it is made from, as a repository form takes it. */
  repository: string;
  /** What a variant is called: `Erlang 27`, `linux/amd64`. */
  variants: readonly { variant: string; word: string }[];
  rows: readonly VersionRow[];
  /** Whether there may be more than is shown. */
  more: boolean;
  recipe: "go" | "erlang";
  origin: string;
};

export const PackagePage: FC<PackageProps> = (props) => {
  const { name, repository, variants, rows, more, recipe } = props;
  const add = new URLSearchParams({ repository, recipe });
  return (
    <article class="package">
      <h1>{name}</h1>
      <p>
        {recipe === "go" ? "A Go program" : "An Erlang package"} from <span>{repository}</span>.{" "}
        <a href={`/add?${add}`}>Build another version</a>
      </p>
      {recipe === "erlang" ? <Badge {...props} /> : null}
      <section aria-labelledby="versions">
        <h2 id="versions">Versions</h2>
        <Wide label="Table of versions">
          <table>
            <thead>
              <tr>
                <th scope="col">Version</th>
                {variants.map(({ word }) => (
                  <th scope="col">{word}</th>
                ))}
              </tr>
            </thead>
            <tbody>
              {rows.map(({ version, builds }) => (
                <tr>
                  <th scope="row">{version}</th>
                  {variants.map(({ variant }) => (
                    <td>
                      <Cell record={builds.get(variant)} />
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </Wide>
        {more ? (
          <p class="hint">
            Only the newest builds are shown.{" "}
            <a href={`/?${new URLSearchParams({ q: name, recipe })}`}>All of them</a>
          </p>
        ) : null}
      </section>
      <section aria-labelledby="use">
        <h2 id="use">How to use it</h2>
        {recipe === "go" ? <UseProgram {...props} /> : <UsePackage {...props} />}
      </section>
    </article>
  );
};

const Cell: FC<{ record: BuildRecord | undefined }> = ({ record }) => {
  if (record === undefined) return <span class="hint">not built</span>;
  const file = record.artifacts[0];
  return (
    <>
      <a href={`/builds/${record.build_id}`}>
        <State state={record.state} />
      </a>{" "}
      {record.state === "succeeded" && file !== undefined ? (
        <a class="download" href={record.artifact} download>
          {file.name}
        </a>
      ) : (
        <Time time={record.ended_at ?? record.queued_at} ago />
      )}
    </>
  );
};

const Badge: FC<PackageProps> = ({ name, origin }) => {
  const image = `/badge?${new URLSearchParams({ full_name: name })}`;
  const here = `${origin}/p/${name.split("/").map(encodeURIComponent).join("/")}`;
  return (
    <details class="badge">
      <summary>
        <img src={image} alt={`Newest version of ${name}`} height={20} />
        <span class="hint">Badge for a README</span>
      </summary>
      <Terminal>{`[![${name}](${origin}${image})](${here})`}</Terminal>
    </details>
  );
};

/** Of the newest version with a build to hand out, the one for the platform that most have. */
function newest(rows: readonly VersionRow[]): BuildRecord | undefined {
  for (const { builds } of rows) {
    const made = [...builds].filter(([, { state }]) => state === "succeeded");
    const best = made.find(([variant]) => variant === COMMON_PLATFORM) ?? made[0];
    if (best !== undefined) return best[1];
  }
  return undefined;
}

const UsePackage: FC<PackageProps> = ({ name, repository, rows }) => {
  const record = newest(rows);
  const app = record?.package?.app ?? name.split("/").at(-1);
  const tag = record?.package?.version ?? rows[0]?.version;
  return (
    <>
      <p>
        As a dependency, in the <code>deps</code> of <code>coonfig.json</code> or{" "}
        <code>enot_config.json</code>:
      </p>
      <Terminal>
        {JSON.stringify({ name: app, url: `https://${repository}`, tag }, null, 2)}
      </Terminal>
      {record === undefined ? null : (
        <>
          <p>As a file:</p>
          <Terminal>{`curl -fOJ '${record.artifact}'`}</Terminal>
        </>
      )}
    </>
  );
};

const UseProgram: FC<PackageProps> = ({ repository, origin, rows }) => {
  const record = newest(rows);
  return (
    <>
      <p>Install the newest version:</p>
      <Terminal>{`curl -fsSL ${origin}/install/${repository} | sh`}</Terminal>
      {record === undefined ? null : (
        <>
          <p>As a file:</p>
          <Terminal>{`curl -fOJL '${record.artifact}'`}</Terminal>
        </>
      )}
    </>
  );
};
