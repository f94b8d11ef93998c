/** What a person writes for a target: a path, or a URL that was copied from somewhere. */
import {
  type GoRequest,
  goFilePath,
  goPath,
  isGoPathError,
  parseGoPath,
} from "../shared/recipes/go.ts";
import { CliError, EXIT } from "./errors.ts";

export type AskedTarget = {
  request: GoRequest;
  /** Path and query at the edge. */
  path: string;
  /** The edge that the URL was of; undefined for a path. */
  origin: string | undefined;
};

/**
 * `github.com/o/r/linux/amd64/v1`, with or without a leading slash, behind an edge's address, or behind
 * the `https://` of the git host itself. Throws CliError (usage) that says what is wrong.
 */
export function parseTarget(text: string): AskedTarget {
  const url = /^https?:\/\//i.test(text) && URL.canParse(text) ? new URL(text) : null;
  const [path, query = ""] =
    url === null ? splitQuery(text) : [url.pathname, url.search.replace("?", "")];
  const make = new URLSearchParams(query).get("target");

  const atEdge = url === null ? null : parseGoPath(path, make);
  const bare = url === null ? path.replace(/^\/*/, "/") : `/${url.host}${path}`;
  const request = atEdge ?? parseGoPath(bare, make);
  if (request === null)
    throw new CliError(
      `"${text}" is no target such as github.com/owner/repo/linux/amd64/v1.0.0.`,
      EXIT.usage,
    );
  if (isGoPathError(request)) throw new CliError(request.message, EXIT.usage);
  return {
    request,
    path: request.file === null ? goPath(request) : goFilePath(request, request.file),
    origin: atEdge === null ? undefined : url?.origin,
  };
}

function splitQuery(text: string): [path: string, query: string] {
  const at = text.indexOf("?");
  return at === -1 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}
