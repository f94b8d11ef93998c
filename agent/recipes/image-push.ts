/** Brings the attempt's image to its registry, apart from the build: tried again when the registry is at fault. */
import { setTimeout as sleep } from "node:timers/promises";
import { builtImage, type Chunk, DockerError, type RegistryLogin } from "../docker/contracts.ts";
import { type RecipeContext, RecipeFailure } from "./contracts.ts";
import type { BaseName } from "./image-names.ts";

const TRIES = 3;
/** Milliseconds before the second try; twice as many before the next. */
const PAUSE_MS = 2_000;
/** What trying again does not mend. */
const FINAL =
  /unauthorized|authentication|no basic auth|denied|forbidden|\b40[0134]\b|(?:name|tag|manifest) invalid/i;

/**
 * Pushes the image that bears `target` on this host now.
 * @returns its digest, `sha256:…`
 * @throws RecipeFailure push_error
 */
export async function pushImage(
  context: RecipeContext,
  target: BaseName,
  login: RegistryLogin | null,
): Promise<string> {
  for (let attempt = 1; ; attempt++) {
    const outcome = await pushOnce(context, target, login);
    if ("digest" in outcome) return outcome.digest;
    const { message } = outcome;
    if (attempt === TRIES || FINAL.test(message)) throw new RecipeFailure("push_error", message);
    await context.say(`The push failed and is tried again: ${message}`, { level: "warning" });
    await sleep(PAUSE_MS * 2 ** (attempt - 1), undefined, { signal: context.signal });
  }
}

async function pushOnce(
  context: RecipeContext,
  { name, repository }: BaseName,
  login: RegistryLogin | null,
): Promise<{ digest: string } | { message: string }> {
  const { docker, owner, signal } = context;
  await context.permit();
  let digest: string | null = null;
  let message: string | null = null;
  try {
    await context.follow(
      (async function* (): AsyncGenerator<Chunk> {
        for await (const event of docker.images.push(name, login, signal))
          if (event.kind === "output") yield event.chunk;
          else if (event.kind === "pushed") digest = event.digest;
          else message = event.message;
      })(),
    );
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof DockerError)) throw error;
    message = error.said ?? error.message;
  }
  if (message !== null) return { message };
  if (digest === null) return { message: "the engine told no digest of what it pushed" };
  // Another agent on this engine may have taken the name meanwhile.
  const built = await docker.images.inspect(builtImage(owner));
  if (built?.names.includes(`${repository}@${digest}`)) return { digest };
  return { message: `another image was pushed as ${name} at the same time` };
}
