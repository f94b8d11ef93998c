/** `railhead build`: asks for a build, follows it, and ends as it ended. */
import * as z from "zod";
import { type BuildRecord, buildIdSchema } from "../../shared/builds.ts";
import { goArtifactPath, goPath } from "../../shared/recipes/go.ts";
import type { EdgeClient } from "../edge-client.ts";
import { CliError, EdgeRefusal, EXIT } from "../errors.ts";
import { followToEnd, requireSuccess } from "../follow.ts";
import { type GlobalOptions, openEdge } from "../settings.ts";
import { type AskedTarget, parseTarget } from "../target.ts";
import { print, say } from "../terminal.ts";

export type BuildOptions = GlobalOptions & { wait: boolean };

const acceptedSchema = z.looseObject({ build_id: buildIdSchema });
type Accepted = z.infer<typeof acceptedSchema> & { location: string | null };

/** Prints the artifact's URL, or with `--json` the final record. Throws CliError when the build did not go well. */
export async function build(text: string, options: BuildOptions): Promise<void> {
  const asked = parseTarget(text);
  const client = await openEdge(options, asked.origin);
  const accepted = await post(client, asked, options);
  if (accepted === null) return;
  if (!options.wait) {
    const { location, ...body } = accepted;
    print(options.json ? JSON.stringify(body) : accepted.build_id);
    say(`Follow it: railhead logs -f ${accepted.build_id}`);
    return;
  }

  finish(client, await followToEnd(client, accepted.build_id), options);
}

/** The accepted build; null when it is there already, which is said. */
async function post(
  client: EdgeClient,
  asked: AskedTarget,
  options: BuildOptions,
): Promise<Accepted | null> {
  try {
    const response = await client.request("POST", goPath(asked.request), { manual: true });
    const body = acceptedSchema.safeParse(await response.json().catch(() => null));
    if (!body.success)
      throw new CliError(
        `${client.url} did not answer as Railhead does. Is the address right?`,
        EXIT.unreachable,
      );
    return { ...body.data, location: response.headers.get("location") };
  } catch (error) {
    if (!(error instanceof EdgeRefusal) || error.code !== "already_exists") throw error;
    const artifact = error.location ?? goArtifactPath(asked.request);
    say(options.wait ? "It is built already." : "It is built already: no build was started.");
    const url = new URL(artifact, client.url).href;
    print(
      options.json ? JSON.stringify({ state: "succeeded", ...error.members, artifact: url }) : url,
    );
    return null;
  }
}

function finish(client: EdgeClient, record: BuildRecord, options: BuildOptions): void {
  if (options.json) print(JSON.stringify(record));
  else if (record.state === "succeeded") print(new URL(record.artifact, client.url).href);
  requireSuccess(record);
}
