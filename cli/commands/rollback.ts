/** `rollback`: deploys again what served before. */
import { generationSchema } from "../../shared/recipes/app.ts";
import { type AppOptions, openApps, projectOf } from "../app-settings.ts";
import { followDeploy } from "../deploys.ts";
import { CliError, EXIT } from "../errors.ts";

/** `generation`: one of the project's; undefined for the one before the present one. */
export async function rollback(generation: string | undefined, options: AppOptions): Promise<void> {
  const to = generation === undefined ? null : generationOf(generation);
  const { client, file } = await openApps(options);
  const project = projectOf(options, file);
  await followDeploy(client, project, await client.rollback(project, to), options);
}

function generationOf(text: string): number {
  const generation = generationSchema.safeParse(Number(text));
  if (generation.success) return generation.data;
  throw new CliError(
    `"${text}" is no generation such as 3: railhead list PROJECT shows them.`,
    EXIT.usage,
  );
}
