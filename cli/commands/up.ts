/** `up`: builds and runs the folder's project, and stays until it serves. */
import { join, resolve } from "node:path";
import { type AppOptions, openApps, projectOf } from "../app-settings.ts";
import { listContext, locateDockerfile, requireFolder, sendContext } from "../context.ts";
import { followDeploy } from "../deploys.ts";
import { CliError, EXIT } from "../errors.ts";
import { PROJECT_FILE, settingsOf } from "../project-file.ts";

export type UpOptions = AppOptions & { rule?: string; cache?: boolean };

/** Never part of a context: history, and the token. */
const NEVER_SENT = [".git", PROJECT_FILE];

export async function up(given: string, options: UpOptions): Promise<void> {
  const folder = resolve(given);
  await requireFolder(folder);
  const { client, file } = await openApps(options, folder);
  const project = projectOf(options, file);
  const rule = options.rule ?? file.rule;
  if (rule === undefined)
    throw new CliError(
      `Say which requests it answers: "rule" in ${PROJECT_FILE}, or --rule, such as Host:app.example.`,
      EXIT.usage,
    );
  const dockerfile = await locateDockerfile(
    folder,
    join(folder, file.dockerfile ?? "Dockerfile"),
    `The project needs one; "dockerfile" in ${PROJECT_FILE} says where it is.`,
  );
  const query = new URLSearchParams([
    ["project", project],
    ["rule", rule],
    ["dockerfile", dockerfile],
    ...settingsOf(file),
  ]);
  if (options.cache === false) query.set("no_cache", "true");
  const files = await listContext(folder, dockerfile, NEVER_SENT);
  const logid = await sendContext(folder, files, (body) => client.run(query, body));
  await followDeploy(client, project, logid, options);
}
