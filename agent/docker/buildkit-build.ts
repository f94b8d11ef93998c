/**
 * A build by BuildKit, which can lend a step secrets, and ignores memory, cores, processes and disk that we would give
 * it. Its steps are no containers that the engine lists: a build that is cut off ends them itself.
 */
import { randomUUID } from "node:crypto";
import type { Readable } from "node:stream";
import { commonQuery, markOf } from "./build-query.ts";
import { SESSION_METHODS, serveSession } from "./buildkit-session.ts";
import { TraceLines } from "./buildkit-trace.ts";
import {
  type BuildEvent,
  type BuildKit,
  builtImage,
  DockerError,
  type ImageSpec,
} from "./contracts.ts";
import type { Engine } from "./engine.ts";
import type { BuildKitQuery } from "./engine-images.ts";
import type { Ledger } from "./ledger.ts";

/** `id` of what it traces. */
const TRACE = "moby.buildkit.trace";
/** What it puts before the words about a Dockerfile that it cannot make sense of. */
const PREAMBLE =
  /^failed to solve with frontend dockerfile\.v0: (?:failed to create LLB definition: )?/;

export async function* buildKitEvents(
  engine: Engine,
  ledger: Ledger,
  spec: ImageSpec,
  builder: BuildKit,
  context: Readable,
  signal: AbortSignal,
): AsyncGenerator<BuildEvent, void, undefined> {
  const { owner, login, max_bytes } = spec;
  await ledger.note(owner, { t: "build", cgroup: null });
  const session = randomUUID();
  const connection = await engine.images.session(session, Object.values(SESSION_METHODS));
  const lines = new TraceLines();
  try {
    serveSession(connection, { secrets: builder.secrets, login });
    signal.throwIfAborted();
    const query = queryOf(spec, builder, session);
    for await (const said of engine.images.buildKit(query, context, signal)) {
      if (said.id === TRACE && typeof said.aux === "string")
        for (const chunk of lines.next(Buffer.from(said.aux, "base64")))
          yield { kind: "output", chunk };
      if (said.error === undefined) continue;
      for (const chunk of lines.end()) yield { kind: "output", chunk };
      yield { kind: "failed", message: said.error.replace(PREAMBLE, "") };
    }
    signal.throwIfAborted();
    await ledger.note(owner, { t: "ended" });
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof DockerError) || error.said === null || error.status === null)
      throw error;
    await ledger.note(owner, { t: "ended" });
    yield { kind: "failed", message: error.said.replace(PREAMBLE, "") };
  } finally {
    connection.destroy();
  }
  const built = await engine.images.inspect(builtImage(owner));
  if ((built?.size_bytes ?? 0) > max_bytes) yield { kind: "outgrown", what: "image" };
}

function queryOf(spec: ImageSpec, { network }: BuildKit, session: string): BuildKitQuery {
  const mark = markOf(spec.owner);
  const common = commonQuery(spec);
  return {
    ...common,
    // A cache mount is this attempt's: what others wrote is nothing to build with. (Engines that we tried give a build
    // without cache a fresh one anyway, but nobody promises it.)
    buildargs: { ...spec.args, BUILDKIT_CACHE_MOUNT_NS: mark },
    // A step is known by its command and its inputs, not by its secrets, and one that another build runs just now, or
    // has run, would be shared with it. With a host of its own in /etc/hosts every step is this attempt's alone.
    extrahosts: `${mark}:127.0.0.1`,
    nocache: true,
    session,
    ...(network === "none" && { networkmode: "none" }),
  };
}
