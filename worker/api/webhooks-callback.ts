/** coon's webhook (spec erlang.md, `/callback`): a new tag at GitHub builds the Erlang package that the repository is. */
import type { Context } from "hono";
import type { Repository } from "../../shared/git-url.ts";
import { Problem } from "../../shared/problem.ts";
import type { AppEnv } from "../app.ts";
import { readConfig } from "../config.ts";
import { claimName, isSameUrl, parseCloneUrl, parseFullName, requestPackage } from "../erlang.ts";
import { once } from "./webhooks-once.ts";
import { type Delivery, type Named, readDelivery } from "./webhooks-payloads.ts";
import { isSigned } from "./webhooks-signatures.ts";

const HOST = "https://github.com";
/** A URL of any form that leads there. */
const GITHUB = /^(?:[a-z][a-z0-9+.-]*:\/\/)?(?:[^@/]*@)?github\.com(?:[:/]|$)/i;

export type CallbackAnswer = { build_ids: string[] } | string;

/** What coon's envelope holds for a webhook that was taken. Throws Problem with coon's words. */
export async function takeCallback(c: Context<AppEnv>): Promise<CallbackAnswer> {
  const config = readConfig(c.env);
  const body = new Uint8Array(await c.req.arrayBuffer());
  const { headers } = c.req.raw;
  const delivery = readDelivery("github", headers, body);
  const { repository, event } = delivery;
  if (repository !== null) checkUrl(repository);
  const secret = config.gitSecret;
  if (secret === null) throw invalid("Can't verify github signature");
  if (!(await isSigned("github", { secret, headers, body })))
    throw invalid(`Wrong signature for ${repository?.full_name ?? "this webhook"}`);
  if (event.kind === "other") return `Ignored: ${event.what}.`;
  const wish = wishOf(delivery, (url) => parseCloneUrl(config, url));
  const { url, ...asked } = { ...wish, ref: event.tag };
  const built = await once(c.env, "callback", body, async () => {
    await claimName(c.env, { ...asked, url, verified: true });
    const caller = `webhook:${asked.namespace}/${asked.name}`;
    return requestPackage(c.env, { ...asked, notify: true, depth: 0, erl: null }, caller);
  });
  return built === null ? "Ignored: this webhook came before." : { build_ids: [built.build_id] };
}

function checkUrl({ full_name, clone_url }: Named): void {
  if (!GITHUB.test(clone_url)) throw invalid(`Url ${clone_url} doesn't point to github!`);
  if (!clone_url.startsWith("https://") || !isSameUrl(clone_url, `${HOST}/${full_name}`))
    throw invalid(`Malformed github url: ${clone_url}`);
}

function wishOf(
  { repository }: Delivery,
  locate: (url: string) => Repository,
): Repository & { namespace: string; name: string; url: string } {
  if (repository === null) throw invalid("there is no repository in it");
  const { full_name, clone_url } = repository;
  const name = parseFullName(full_name);
  if (name === null) throw invalid(`Wrong fullname format: ${full_name}`);
  return { ...locate(clone_url), ...name, url: clone_url };
}

function invalid(what: string): Problem {
  return new Problem("bad_body", `Validation failed: ${what}`);
}
