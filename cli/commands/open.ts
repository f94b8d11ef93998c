/** `open`: the app in a browser. */
import { spawn } from "node:child_process";
import { type AppOptions, openApps, projectOf } from "../app-settings.ts";
import { CliError } from "../errors.ts";
import { print } from "../terminal.ts";

/** Prints the URL too: who has no browser here copies it. */
export async function open(options: AppOptions): Promise<void> {
  const { client, file } = await openApps(options);
  const project = projectOf(options, file);
  const { url } = await client.project(project);
  if (url === null)
    throw new CliError(`The rule of ${project} names no host, so no address can be opened.`);
  print(url);
  const opener = openerOf(process.platform, process.env);
  if (opener === null || !/^https?:\/\//.test(url)) return;
  const child = spawn(opener, [url], { stdio: "ignore", detached: true });
  // Without such a program the line above is all there is.
  child.on("error", () => {});
  child.unref();
}

/** What opens a URL in the user's browser; null where there is none to be seen. */
function openerOf(platform: NodeJS.Platform, env: NodeJS.ProcessEnv): string | null {
  if (platform === "darwin") return "open";
  return env.DISPLAY || env.WAYLAND_DISPLAY ? "xdg-open" : null;
}
