/** `railhead image build`: sends a folder as a build context, follows the build, and prints the pushed digest. */
import { basename, resolve } from "node:path";
import * as z from "zod";
import { buildIdSchema } from "../../shared/builds.ts";
import { IMAGE_TARBALL, parseImageName } from "../../shared/recipes/image.ts";
import { readSecrets } from "../build-secrets.ts";
import { listContext, locateDockerfile, requireFolder, sendContext } from "../context.ts";
import type { EdgeClient } from "../edge-client.ts";
import { CliError, EXIT } from "../errors.ts";
import { farewellTo, followToEnd, requireSuccess } from "../follow.ts";
import { checkWritable } from "../local-files.ts";
import { registryLogin } from "../registry-login.ts";
import { type GlobalOptions, openEdge } from "../settings.ts";
import { print, say } from "../terminal.ts";
import { getUrl } from "./get.ts";

export type ImageBuildOptions = GlobalOptions & {
  tag?: string;
  file?: string;
  buildArg: string[];
  label: string[];
  secret: string[];
  target?: string;
  cache: boolean;
  cacheFrom: string[];
  push: boolean;
  output?: string;
  wait: boolean;
};

const acceptedSchema = z.looseObject({ build_id: buildIdSchema });
type Accepted = z.infer<typeof acceptedSchema>;

/** Prints the digest, or with `--json` the final record. Throws CliError when the build did not go well. */
export async function buildImage(given: string, options: ImageBuildOptions): Promise<void> {
  const folder = resolve(given);
  const image = options.tag ?? defaultName(folder, options);
  const query = await queryOf(folder, image, options);
  const login = options.tag === undefined ? {} : await loginFor(options.tag);
  const headers = { ...login, ...(await secretsFor(options)) };
  const client = await openEdge(options);
  const accepted = await send(client, folder, query, headers, options);
  if (!options.wait) {
    print(options.json ? JSON.stringify(accepted) : accepted.build_id);
    return say(`Follow it: railhead logs -f ${accepted.build_id}`);
  }
  const farewell = farewellTo(accepted.build_id) + later(client, accepted, options);
  const record = await followToEnd(client, accepted.build_id, { farewell });
  if (options.json) print(JSON.stringify(record));
  requireSuccess(record);
  if (options.output !== undefined)
    await getUrl(client, tarballPath(record.build_id), { output: options.output });
  if (options.json || record.digest === null) return;
  const toStdout = options.output !== "-";
  (toStdout ? print : say)(record.digest);
}

/** As docker compose names what nobody named: by the folder. Only what is not pushed may go without a name. */
function defaultName(folder: string, { push }: ImageBuildOptions): string {
  if (push)
    throw new CliError(
      "Say what to push it as: --tag registry.example/team/app:1.0. (Or do not push: --no-push --output <file>.)",
      EXIT.usage,
    );
  const name = basename(folder)
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-|-$/g, "");
  return name || "image";
}

/** Everything but the context, checked as far as this machine can. */
async function queryOf(
  folder: string,
  image: string,
  options: ImageBuildOptions,
): Promise<URLSearchParams> {
  await requireFolder(folder);
  if (!options.wait && options.output !== undefined)
    throw new CliError("--output waits for the build: leave --no-wait away.", EXIT.usage);
  if (!options.push && options.output === undefined)
    throw new CliError("Without a push, say where the image goes: --output <file>.", EXIT.usage);
  if (options.output !== undefined && options.output !== "-") await checkWritable(options.output);
  const pairs: [name: string, value: string][] = [
    ["image", image],
    ["dockerfile_path", await locateDockerfile(folder, options.file)],
    ["no_cache", String(!options.cache)],
    ["push", String(options.push)],
    ["tarball", String(options.output !== undefined)],
  ];
  if (options.target !== undefined) pairs.push(["target", options.target]);
  for (const arg of options.buildArg) pairs.push(["build_arg", withValue(arg)]);
  for (const label of options.label) pairs.push(["label", withLabel(label)]);
  for (const image of options.cacheFrom) pairs.push(["cache_from", image]);
  return new URLSearchParams(pairs);
}

function tarballPath(id: string): string {
  return `/builds/${id}/files/${IMAGE_TARBALL}`;
}

/** What is left to do for whoever does not wait. */
function later({ url }: EdgeClient, { build_id }: Accepted, { output }: ImageBuildOptions): string {
  if (output === undefined) return "";
  const to = output === "-" ? "" : ` -o ${output}`;
  return `\n  fetch, once it has succeeded: curl -f${to} ${url}${tarballPath(build_id)}`;
}

/** As with docker: a name alone stands for what it is in the environment. */
function withValue(arg: string): string {
  if (arg.startsWith("=") || arg === "")
    throw new CliError(`--build-arg ${arg}: it takes name=value, or a name.`, EXIT.usage);
  return arg.includes("=") ? arg : `${arg}=${process.env[arg] ?? ""}`;
}

function withLabel(label: string): string {
  if (label.startsWith("=") || label === "")
    throw new CliError(`--label ${label}: it takes name=value, or a name.`, EXIT.usage);
  return label.includes("=") ? label : `${label}=`;
}

async function loginFor(tag: string): Promise<Record<string, string>> {
  const name = parseImageName(tag);
  if (name === null)
    throw new CliError(
      `"${tag}" is no name of an image, such as registry.example/team/app:1.0.`,
      EXIT.usage,
    );
  const login = await registryLogin(name.registry);
  if (login === null) return {};
  const pair = Buffer.from(`${login.username}:${login.password}`).toString("base64");
  return { "railhead-registry-authorization": `Basic ${pair}` };
}

/** In a header, where nothing writes it down: no part of the URL. */
async function secretsFor({ secret }: ImageBuildOptions): Promise<Record<string, string>> {
  if (secret.length === 0) return {};
  const secrets = JSON.stringify(await readSecrets(secret, process.env));
  return { "railhead-build-secrets": Buffer.from(secrets).toString("base64") };
}

async function send(
  client: EdgeClient,
  folder: string,
  query: URLSearchParams,
  headers: Record<string, string>,
  { output }: ImageBuildOptions,
): Promise<Accepted> {
  // What the build before left there is no part of this one.
  const made = output === undefined ? null : resolve(output);
  const files = (await listContext(folder, query.get("dockerfile_path") ?? "")).filter(
    ({ path }) => path !== made,
  );
  const response = await sendContext(folder, files, (body) =>
    client.request("POST", `/api/images?${query}`, {
      headers: { "content-type": "application/gzip", ...headers },
      body,
    }),
  );
  return acceptedSchema.parse(await response.json());
}
