/**
 * Requests for web apps (spec apps.md, "Ingress"): on any host but the Worker's own, rules are asked before every route of
 * ours. The table of rules is kept for seconds; a host that it does not know asks anew, so a new app is there at once.
 */
import {
  createMatcher,
  type Matched,
  parseRule,
  RuleError,
  type RuleRequest,
} from "../shared/rules/index.ts";
import { ROUTES_NAME, type Route } from "./core/app-contracts.ts";
import { isOwnHost } from "./hosts.ts";
import { retrying } from "./retry.ts";
import { handRequest } from "./tunnel/internal.ts";
import { respondToBrowser } from "./tunnel/no-answer.ts";
import { NO_ANSWER, noAnswer } from "./tunnel/pass-on.ts";

/** Milliseconds for which an isolate trusts its copy of the rules. */
const KEPT_MS = 5_000;

type Compiled = { project: string; match: (request: RuleRequest) => Matched | null };
type Table = { routes: Compiled[]; until: number };

let table: Table | null = null;
let asking: Promise<Table> | null = null;
/** Of the last table's rules, by text. */
let compiled = new Map<string, Compiled["match"]>();

type Handler = {
  fetch(request: Request, env: Env, ctx: ExecutionContext): Response | Promise<Response>;
};

/** The Worker's own site behind the apps that it serves. */
export function withApps(site: Handler): Handler {
  return {
    async fetch(request, env, ctx) {
      const url = new URL(request.url);
      if (isOwnHost(env, url.hostname)) return site.fetch(request, env, ctx);
      return (await toApp(request, url, env, ctx)) ?? site.fetch(request, env, ctx);
    },
  };
}

/** The app's answer; null when no rule matches. */
async function toApp(
  request: Request,
  url: URL,
  env: Env,
  ctx: ExecutionContext,
): Promise<Response | null> {
  const kept = table !== null && table.until > Date.now() ? table : null;
  const known = kept && find(kept, request, url);
  if (known) {
    const response = await send(request, url, env, known);
    if (response.headers.get(NO_ANSWER) !== "gone") return finish(request, response);
  }
  const fresh = await ask(env, ctx).catch(cannotTell);
  if (fresh instanceof Response) return finish(request, fresh);
  const found = find(fresh, request, url);
  return found && finish(request, await send(request, url, env, found));
}

type Found = { project: string; matched: Matched };

function find({ routes }: Table, request: Request, url: URL): Found | null {
  const asked: RuleRequest = {
    method: request.method,
    host: url.host,
    path: url.pathname,
    query: (name) => url.searchParams.getAll(name),
    header: (name) => request.headers.get(name),
  };
  for (const { project, match } of routes) {
    const matched = match(asked);
    if (matched !== null) return { project, matched };
  }
  return null;
}

async function send(request: Request, url: URL, env: Env, found: Found): Promise<Response> {
  const { path, prefix } = found.matched;
  const arrival = {
    host: request.headers.get("host") ?? url.host,
    proto: url.protocol.slice(0, -1),
    client: request.headers.get("cf-connecting-ip"),
    prefix,
  };
  try {
    return await env.APPS.getByName(found.project).fetch(handRequest(request, path, arrival));
  } catch (error) {
    // The client's body broke off, or the object was ended under it.
    return noAnswer("broken", error instanceof Error ? error.message : String(error));
  }
}

async function finish(request: Request, response: Response): Promise<Response> {
  const why = response.headers.get(NO_ANSWER);
  return why === null ? response : respondToBrowser(request, response, why);
}

function ask(env: Env, ctx: ExecutionContext): Promise<Table> {
  if (asking !== null) return asking;
  asking = retrying(async (): Promise<Route[]> => env.ROUTES.getByName(ROUTES_NAME).list())
    .then((routes) => {
      table = { routes: compileAll(routes), until: Date.now() + KEPT_MS };
      return table;
    })
    .finally(() => {
      asking = null;
    });
  // Others wait for it, too: it goes on when this client has gone.
  ctx.waitUntil(asking.catch(() => {}));
  return asking;
}

function cannotTell(error: unknown): Response {
  const what = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  console.error(JSON.stringify({ level: "error", event: "routes_unreadable", error: what }));
  return noAnswer("unknown", "");
}

/** Without rules that were taken once and would be refused by now: the other apps go on. */
function compileAll(routes: readonly Route[]): Compiled[] {
  const before = compiled;
  compiled = new Map();
  return routes.flatMap(({ project, rule }) => {
    try {
      const match = before.get(rule) ?? createMatcher(parseRule(rule));
      compiled.set(rule, match);
      return [{ project, match }];
    } catch (error) {
      if (error instanceof RuleError) return [];
      throw error;
    }
  });
}
