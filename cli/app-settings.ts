/** Which project is meant, where it is deployed and with what token. */
import { AppClient } from "./app-client.ts";
import { CliError, EXIT } from "./errors.ts";
import { PROJECT_FILE, type ProjectFile, readProjectFile } from "./project-file.ts";
import { baseUrl, type GlobalOptions, readLogin, secretFile } from "./settings.ts";

/** Options that every command for web apps takes. */
export type AppOptions = GlobalOptions & {
  project?: string;
  /** What it is called as: perok's output is peroku's. */
  program: "railhead" | "perok";
};

export type Apps = { client: AppClient; file: ProjectFile };

/**
 * Options over the project file of `folder` over the environment over `railhead login`. A token goes to the address that
 * it was given for: a file that somebody else wrote names the address, but gets no other address's token. Throws CliError
 * (usage).
 */
export async function openApps(options: AppOptions, folder = "."): Promise<Apps> {
  const file = await readProjectFile(folder);
  const login = await readLogin();
  const { RAILHEAD_URL, RAILHEAD_TOKEN, PEROKU_TOK } = process.env;
  const inEnvironment = RAILHEAD_URL ? baseUrl(RAILHEAD_URL) : undefined;
  const url =
    (options.url === undefined ? undefined : baseUrl(options.url)) ??
    file.peroku ??
    inEnvironment ??
    login?.url;
  if (url === undefined)
    throw new CliError(
      options.program === "perok"
        ? `Say where to: "peroku" in ${PROJECT_FILE}, in this folder.`
        : `Say where to: "peroku" in ${PROJECT_FILE}, --url https://…, RAILHEAD_URL, or railhead login.`,
      EXIT.usage,
    );
  const isFor = (address: string | undefined) => address === undefined || address === url;
  const token =
    (await secretFile("--token-file", options.tokenFile)) ??
    (isFor(file.peroku) ? file.token : undefined) ??
    (PEROKU_TOK || undefined) ??
    (isFor(inEnvironment) ? RAILHEAD_TOKEN || undefined : undefined) ??
    (login?.url === url ? login.token : undefined);
  return { client: new AppClient(url, token ?? null), file };
}

/** Its name. Throws CliError (usage) when nothing says it. */
export function projectOf({ project, program }: AppOptions, file: ProjectFile): string {
  const name = project ?? file.project;
  if (name !== undefined && name !== "") return name;
  const or = program === "perok" ? "in this folder" : "or --project";
  throw new CliError(`Say which project: "project" in ${PROJECT_FILE}, ${or}.`, EXIT.usage);
}
