/** What a webhook says, whichever git host sent it. */
import * as z from "zod";
import { Problem } from "../../shared/problem.ts";
import { refSchema } from "../../shared/recipes/erlang.ts";
import { refusedMember } from "../../shared/refused-member.ts";
import type { Forge } from "../raw-file.ts";

/** A repository, in its host's words. */
export type Named = { full_name: string; clone_url: string };

export type Delivery = {
  /** Null where the event is about none. */
  repository: Named | null;
  event:
    | { kind: "tag"; tag: string }
    /** `what` completes "Ignored: … ". */
    | { kind: "other"; what: string };
};

type Event = Delivery["event"];

const text = z.string().max(1_024);
/** GitHub's events *create* and *push*, which Gitea and Forgejo send as well. */
const githubSchema = z.object({
  ref: text.nullish(),
  ref_type: text.nullish(),
  deleted: z.boolean().nullish(),
  after: text.nullish(),
  repository: z.object({ full_name: text, clone_url: text }).nullish(),
});
/** GitLab's tag event. */
const gitlabSchema = z.object({
  object_kind: text.nullish(),
  ref: text.nullish(),
  after: text.nullish(),
  project: z.object({ path_with_namespace: text, git_http_url: text }).nullish(),
});

const TAGS = "refs/tags/";
/** What a ref is pushed to when it is removed. */
const NOTHING = /^0+$/;
/** Characters of what an answer repeats. */
const SHOWN_CHARS = 100;

/** Throws Problem `bad_body` for what is no webhook. */
export function readDelivery(
  forge: Forge,
  headers: Headers,
  body: Uint8Array<ArrayBuffer>,
): Delivery {
  const json = parseJson(headers, body);
  if (forge === "gitlab") return readGitlab(json);
  const names = { github: ["x-github-event"], gitea: ["x-forgejo-event", "x-gitea-event"] };
  const named = names[forge].map((name) => headers.get(name)).find((name) => name !== null);
  return readGithub(named ?? null, json);
}

function readGithub(named: string | null, json: unknown): Delivery {
  const payload = check(githubSchema, json);
  const { ref, ref_type, deleted, after, repository = null } = payload;
  const event = named ?? (ref_type ? "create" : ref ? "push" : "ping");
  const read = (): Event => {
    if (event === "create" && typeof ref === "string")
      return ref_type === "tag" ? tagEvent(withoutPrefix(ref)) : other(`${ref_type} ${ref}`);
    if (event === "push" && typeof ref === "string")
      return pushEvent(ref, deleted === true || NOTHING.test(after ?? ""));
    return other(`event ${event}`);
  };
  return { repository, event: read() };
}

function readGitlab(json: unknown): Delivery {
  const { object_kind, ref, after, project } = check(gitlabSchema, json);
  const repository = project
    ? { full_name: project.path_with_namespace, clone_url: project.git_http_url }
    : null;
  const isTag = object_kind === "tag_push" && typeof ref === "string";
  const event = isTag
    ? pushEvent(ref, NOTHING.test(after ?? ""))
    : other(`event ${object_kind ?? "without a kind"}`);
  return { repository, event };
}

function pushEvent(ref: string, removed: boolean): Event {
  if (!ref.startsWith(TAGS)) return other(`push to ${ref}`);
  return removed ? other(`removal of ${ref}`) : tagEvent(withoutPrefix(ref));
}

function tagEvent(tag: string): Event {
  return refSchema.safeParse(tag).success
    ? { kind: "tag", tag }
    : other("a tag whose name cannot be a version");
}

function other(what: string): Event {
  return { kind: "other", what: what.slice(0, SHOWN_CHARS) };
}

function withoutPrefix(ref: string): string {
  return ref.startsWith(TAGS) ? ref.slice(TAGS.length) : ref;
}

/** The document: the body itself, or `payload` of a form, as GitHub and Gitea send it unless told otherwise. */
function parseJson(headers: Headers, body: Uint8Array<ArrayBuffer>): unknown {
  const raw = new TextDecoder().decode(body);
  const form = /^application\/x-www-form-urlencoded\b/i.test(headers.get("content-type") ?? "");
  try {
    return JSON.parse(form ? (new URLSearchParams(raw).get("payload") ?? raw) : raw);
  } catch {
    throw new Problem("bad_body", "The webhook is no JSON.");
  }
}

function check<T>(schema: z.ZodType<T>, json: unknown): T {
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  const { member, text } = refusedMember(parsed.error);
  throw new Problem("bad_body", `The webhook is malformed: ${text}.`, {
    members: member === "" ? {} : { member },
  });
}
