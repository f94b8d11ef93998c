/** `down`: stops and deletes a project. */
import { type AppOptions, openApps, projectOf } from "../app-settings.ts";
import { CliError } from "../errors.ts";
import { print } from "../terminal.ts";

export async function down(options: AppOptions): Promise<void> {
  const { client, file } = await openApps(options);
  const project = projectOf(options, file);
  if (!(await client.remove(project))) throw new CliError(`project ${project} not found`);
  print(options.json ? JSON.stringify({ deleted: project }) : `deleted ${project}`);
}
