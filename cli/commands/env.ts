/** `env`: the variables that a project's next deployments get. Values are shown nowhere. */
import { readFile } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { type AppOptions, type Apps, openApps, projectOf } from "../app-settings.ts";
import { followDeploy } from "../deploys.ts";
import { CliError, EXIT, messageOf } from "../errors.ts";
import { print, say } from "../terminal.ts";

export type EnvOptions = AppOptions & { deploy?: boolean };

export async function listEnv(options: AppOptions): Promise<void> {
  const { client, file } = await openApps(options);
  const { env } = await client.project(projectOf(options, file));
  if (options.json) return print(JSON.stringify({ env }));
  env.forEach(print);
}

/** `pairs`: `NAME=value`, or `NAME=@file`; the file `-` is standard input. */
export async function setEnv(pairs: readonly string[], options: EnvOptions): Promise<void> {
  const changes: Record<string, string> = {};
  for (const pair of pairs) {
    const at = pair.indexOf("=");
    // The pair is not shown: by mistake it may be the value alone.
    if (at < 1) throw new CliError("A variable is NAME=value, NAME=@file or NAME=@-.", EXIT.usage);
    const [name, value] = [pair.slice(0, at), pair.slice(at + 1)];
    changes[name] = value.startsWith("@") ? await valueFrom(name, value.slice(1)) : value;
  }
  await change(changes, options);
}

export async function unsetEnv(names: readonly string[], options: EnvOptions): Promise<void> {
  await change(Object.fromEntries(names.map((name) => [name, null])), options);
}

async function change(changes: Record<string, string | null>, options: EnvOptions): Promise<void> {
  const apps = await openApps(options);
  const project = projectOf(options, apps.file);
  const env = await apps.client.changeEnv(project, changes);
  if (options.deploy) return deployAgain(apps, project, options);
  if (options.json) return print(JSON.stringify({ env }));
  say(`${project} has ${env.join(", ") || "no variables"} from its next deploy on.`);
}

/** The version that serves, with its new variables. */
async function deployAgain({ client }: Apps, project: string, options: EnvOptions): Promise<void> {
  const { current } = await client.project(project);
  if (current === null)
    throw new CliError(
      `The variables are set, but no version of ${project} serves that could be deployed again.`,
    );
  await followDeploy(client, project, await client.rollback(project, current), options);
}

/** Without the newline that editors and `echo` leave at the end. */
async function valueFrom(name: string, file: string): Promise<string> {
  try {
    const value = file === "-" ? await text(process.stdin) : await readFile(file, "utf8");
    return value.replace(/\r?\n$/, "");
  } catch (error) {
    throw new CliError(`The value of ${name}: ${messageOf(error)}`, EXIT.usage);
  }
}
