/** Staying with a deploy until it serves, or has failed. */
import type { ProjectView } from "../shared/apps.ts";
import type { BuildRecord } from "../shared/builds.ts";
import type { AppClient } from "./app-client.ts";
import type { AppOptions } from "./app-settings.ts";
import { CliError, EdgeRefusal } from "./errors.ts";
import { followToEnd } from "./follow.ts";
import { print, say } from "./terminal.ts";

/**
 * Follows a deploy, then prints where the app answers, or with `--json` how the project stands. Throws CliError when it
 * does not serve.
 */
export async function followDeploy(
  client: AppClient,
  project: string,
  logid: string,
  { program, json }: AppOptions,
): Promise<void> {
  const record = await followToEnd(client.edge, logid, {
    farewell: farewellTo(logid, client.edge.url),
    to: program === "perok" && json !== true ? "stdout" : "stderr",
  });
  const view = await viewOf(client, project);
  if (record.state !== "succeeded") throw failure(project, view, record);
  if (json) return print(JSON.stringify(view));
  say(`${project} is live.`);
  if (view?.url) print(view.url);
}

function farewellTo(logid: string, url: string): string {
  const [follow, cancel] = ["logs -f", "cancel"].map(
    (what) => `railhead ${what} ${logid} --url ${url}`,
  );
  return `Detached; the deploy goes on.\n  follow: ${follow}\n  cancel: ${cancel}`;
}

async function viewOf(client: AppClient, project: string): Promise<ProjectView | null> {
  try {
    return await client.project(project);
  } catch (error) {
    if (error instanceof EdgeRefusal && error.http === 404) return null;
    throw error;
  }
}

/** The deployment knows more than the build of its first replica: another may be what failed. */
function failure(project: string, view: ProjectView | null, record: BuildRecord): CliError {
  if (view === null) return new CliError(`${project} was deleted meanwhile.`);
  const deployment = view.deployments.find(({ build_id }) => build_id === record.build_id);
  if (deployment?.state === "superseded")
    return new CliError(`A newer deploy of ${project} took the place of this one.`);
  const why = deployment?.reason ?? record.reason ?? record.class ?? "no reason was given";
  const serving = view.current === null ? "" : "\nThe version before it goes on serving.";
  return new CliError(`The deploy of ${project} failed: ${why}${serving}`);
}
