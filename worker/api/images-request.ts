/** What is asked for when an image is to be built: the fields of tutum-builder's JSON, and ours. */
import { createTar } from "nanotar";
import * as z from "zod";
import { CONTEXT_JSON_BYTES } from "../../shared/limits.ts";
import { Problem } from "../../shared/problem.ts";
import {
  DEFAULT_DOCKERFILE,
  type ImageSource,
  type ImageTarget,
  imageTargetSchema,
  parseImageName,
  SECRETS_CHARS,
} from "../../shared/recipes/image.ts";
import { decodeBase64 } from "../base64.ts";
import { DEFAULT_BRANCH } from "../resolve.ts";

const text = z
  .string()
  .nullish()
  .transform((value) => value ?? "");
const flag = (usual: boolean) =>
  z
    .boolean()
    .nullish()
    .transform((value) => value ?? usual);
const words = z
  .record(z.string(), z.string())
  .nullish()
  .transform((value) => value ?? {});

/** Keys in lower case: the original matched them without regard to it. `email` was for Docker's login and is not used. */
const fieldsSchema = z.object({
  image_name: text,
  username: text,
  password: text,
  dockerfile: text,
  tarurl: text,
  tar_url: text,
  tarfile: text,
  github_username: text,
  github_reponame: text,
  github_tag: text,
  github_token: text,
  build_args: words,
  labels: words,
  secrets: words,
  target: text,
  no_cache: flag(false),
  cache_from: z
    .array(z.string())
    .nullish()
    .transform((value) => value ?? []),
  dockerfile_path: text,
  tarball: flag(false),
  push: flag(true),
});
export type ImageFields = z.infer<typeof fieldsSchema>;

/** Members of the JSON body that are documented; the original's first. */
export const imageBodySchema = z.object({
  image_name: z
    .string()
    .describe("`[registry/]namespace/name[:tag]`; without a registry, Docker Hub."),
  username: z.string().optional(),
  password: z.string().optional(),
  email: z.string().optional(),
  dockerfile: z.string().optional().describe("The text of a Dockerfile that needs no other file."),
  tarUrl: z.string().optional().describe("A tar, plain or gzip, with a Dockerfile at its top."),
  tarfile: z.string().optional().describe("The same tar in base64, up to 16 MiB."),
  github_username: z.string().optional(),
  github_reponame: z.string().optional(),
  github_tag: z
    .string()
    .optional()
    .describe("A tag, branch or commit; the default branch without."),
  github_token: z.string().optional().describe("For a private repository."),
  build_args: z.record(z.string(), z.string()).optional(),
  labels: z.record(z.string(), z.string()).optional(),
  secrets: z
    .record(z.string(), z.string())
    .optional()
    .describe(
      "By id, for `RUN --mount=type=secret,id=…`: never shown, and in no layer. Built by agents with BuildKit alone.",
    ),
  target: z.string().optional().describe("The stage to build."),
  no_cache: z.boolean().optional(),
  cache_from: z.array(z.string()).optional(),
  dockerfile_path: z.string().optional().describe("Where it is in the context."),
  tarball: z.boolean().optional().describe("Publish image.tar.gz as a file of the build."),
  push: z.boolean().optional().describe("False: the tarball alone."),
});

/** Where the context comes from when it did not come by itself; `bytes` go into the bucket. */
export type AskedSource =
  | { kind: "bytes"; bytes: Uint8Array }
  | { kind: "url"; url: string }
  | { kind: "github"; path: [owner: string, name: string]; version: string };

/** The fields of a JSON text. Throws Problem `bad_body` in the words of the parser. */
export function parseFields(json: string): ImageFields {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    throw refused(error instanceof Error ? error.message : "this is no JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw refused("the body must be a JSON object");
  return readFields(value);
}

/** The fields of an object, whatever the case of its keys. Throws Problem `bad_body`. */
export function readFields(value: object): ImageFields {
  const lower = Object.entries(value).map(([key, member]) => [key.toLowerCase(), member]);
  const parsed = fieldsSchema.safeParse(Object.fromEntries(lower));
  if (parsed.success) return parsed.data;
  throw refusedMember(parsed.error, {});
}

/**
 * The source that the fields name, by the original's precedence; `uploaded` says that a tar came beside them.
 * Null when that tar is to be used, or there is no source at all. Throws Problem `bad_body`, `too_large`.
 */
export function sourceOf(fields: ImageFields, uploaded: boolean): AskedSource | null {
  if (fields.dockerfile !== "") return { kind: "bytes", bytes: tarOf(fields.dockerfile) };
  if (uploaded) return null;
  if (fields.tarfile !== "") return { kind: "bytes", bytes: decodeTar(fields.tarfile) };
  const url = fields.tarurl || fields.tar_url;
  if (url !== "") return { kind: "url", url: httpUrl(url) };
  const { github_username: owner, github_reponame: name, github_tag: tag } = fields;
  if (owner === "" || name === "") return null;
  return { kind: "github", path: [owner, name], version: tag || DEFAULT_BRANCH };
}

/** How a request calls fields whose names in the JSON body are others, and members of a target. */
export type Names = Readonly<Record<string, string>>;
export const JSON_NAMES: Names = {
  args: "build_args",
  stage: "target",
  dockerfile: "dockerfile_path",
  secret_ids: "secrets",
};

/** The target of build `job`. Throws Problem `bad_body` that names the field as `names` do. */
export function targetOf(
  job: string,
  fields: ImageFields,
  source: ImageSource,
  names: Names = JSON_NAMES,
): ImageTarget {
  const name = parseImageName(fields.image_name);
  if (name === null)
    throw refused(
      `${names.image_name ?? "image_name"}: "${fields.image_name.slice(0, 100)}" is no name of an image, such as registry.example/team/app:1.0`,
    );
  if (!fields.push && !fields.tarball)
    throw refused("push: without a push there must be a tarball, or nothing is left of the build");
  // A Dockerfile that came as text lies where the engine looks for it.
  const path = fields.dockerfile === "" ? fields.dockerfile_path : "";
  const { secrets } = fields;
  const secret_ids = Object.keys(secrets);
  if (JSON.stringify(secrets).length > SECRETS_CHARS)
    throw refused(`${names.secret_ids}: they have at most ${SECRETS_CHARS} characters, as JSON`);
  const parsed = imageTargetSchema.safeParse({
    recipe: "image",
    job,
    image: name.reference,
    source,
    push: fields.push,
    tarball: fields.tarball,
    dockerfile: path || DEFAULT_DOCKERFILE,
    stage: fields.target || null,
    args: fields.build_args,
    labels: fields.labels,
    no_cache: fields.no_cache,
    cache_from: fields.cache_from,
    ...(secret_ids.length > 0 && { secret_ids }),
    visibility: "unlisted",
  } satisfies ImageTarget);
  if (parsed.success) return parsed.data;
  throw refusedMember(parsed.error, names);
}

/** A tar that holds one Dockerfile. The same text makes the same bytes. */
function tarOf(dockerfile: string): Uint8Array {
  const attrs = { mode: "644", uid: 0, gid: 0, mtime: 0 };
  return createTar([{ name: DEFAULT_DOCKERFILE, data: dockerfile, attrs }]);
}

function decodeTar(base64: string): Uint8Array {
  if (base64.length * 0.75 > CONTEXT_JSON_BYTES + 2) throw tooLargeForJson();
  const tar = decodeBase64(base64);
  if (tar === null) throw refused("tarfile: illegal base64 data");
  return tar;
}

export function tooLargeForJson(): Problem {
  return new Problem(
    "too_large",
    `A JSON body holds at most ${CONTEXT_JSON_BYTES} bytes of tar. Send a larger one raw, as the body of POST /api/images?image=…, or as the first part of a multipart body.`,
  );
}

/** Without a scheme it is http, as curl has it. Whether its address is public is checked where it is fetched. */
function httpUrl(text: string): string {
  const url = URL.parse(/^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`);
  if (url === null || !["http:", "https:"].includes(url.protocol))
    throw refused("tarUrl: it must be an http or https URL");
  if (url.username !== "" || url.password !== "")
    throw refused("tarUrl: leave user and password out of it, it is shown with the build");
  return url.href;
}

function refusedMember(error: z.ZodError, names: Names): Problem {
  const { path = [], message } = error.issues[0] ?? {};
  const [member, ...rest] = path.map(String);
  const field = [names[member ?? ""] ?? member, ...rest].join(".");
  return refused(`${field}: ${message}`);
}

export function refused(detail: string): Problem {
  return new Problem("bad_body", detail);
}
