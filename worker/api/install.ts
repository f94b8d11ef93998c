/** /install/{remote}/{owner}/{repo}[@version]: the installer for `curl … | sh`. */
import type { Context } from "hono";
import * as z from "zod";
import { Problem } from "../../shared/problem.ts";
import { isGoPathError, parseGoPath } from "../../shared/recipes/go.ts";
import type { App, AppEnv } from "../app.ts";
import { readConfig } from "../config.ts";
import { LATEST } from "../resolve.ts";
import { problems } from "./documents.ts";
import { remoteBase } from "./go-request.ts";
import script from "./install-script.txt";

export const INSTALL_ROUTE = "/install/:remote/:rest{[\\s\\S]+}";
/** The parser wants a pair; the script finds its own. */
const ANY_PLATFORM = "linux/amd64";
/** What may stand between the script's single quotes. */
const SAFE = /^[A-Za-z0-9._~%:/[\]()*!-]*$/;

export function installRoutes(app: App): void {
  app.openAPIRegistry.registerPath({
    method: "get",
    path: "/install/{remote}/{owner}/{repo}",
    summary: "An installer for curl | sh",
    description:
      "A POSIX shell script that finds out the system, builds when needed, verifies the SHA-256 and installs " +
      "to $PREFIX/bin. `@version` behind the repository takes a tag, a commit, a range or a branch.",
    request: {
      params: z.object({ remote: z.string(), owner: z.string(), repo: z.string() }),
    },
    responses: {
      200: {
        description: "The script.",
        content: { "text/x-shellscript": { schema: z.string() } },
      },
      ...problems("bad_path", "bad_query", "remote_not_allowed"),
    },
  });
  app.get(INSTALL_ROUTE, (c) => {
    const { origin, pathname, searchParams } = new URL(c.req.url);
    if (searchParams.size > 0)
      throw new Problem(
        "bad_query",
        "An installer takes no query. Write a version as @version behind the repository: /install/github.com/owner/repo@v1.2.3",
      );
    return new Response(installer(c, origin, pathname.slice("/install".length)), {
      headers: {
        "content-type": "text/x-shellscript; charset=utf-8",
        "cache-control": "no-cache",
      },
    });
  });
}

function installer(c: Context<AppEnv>, origin: string, pathname: string): string {
  const [repository = "", version = LATEST, ...rest] = pathname.split("@");
  if (rest.length > 0 || version === "" || version.includes("/")) throw malformed();
  const request = parseGoPath(`${repository}/${ANY_PLATFORM}/${version}`);
  if (request === null) throw malformed();
  if (isGoPathError(request)) throw new Problem("bad_path", request.message);
  if (request.file !== null || `${request.goos}/${request.goarch}` !== ANY_PLATFORM)
    throw malformed();
  remoteBase(readConfig(c.env), request);
  return fill({
    ORIGIN: origin,
    REPOSITORY: `/${[request.remote, ...request.path].join("/")}`,
    NAME: request.path.at(-1) as string,
    VERSION: encodeURIComponent(request.version),
  });
}

function fill(values: Record<string, string>): string {
  return script.replaceAll(/@([A-Z]+)@/g, (_, name: string) => {
    const value = values[name] ?? "";
    if (!SAFE.test(value)) throw malformed();
    return value;
  });
}

function malformed(): Problem {
  return new Problem(
    "bad_path",
    "An installer is at /install/{remote}/{owner}/{repo}, with @version behind it if you like.",
  );
}
