/** An agent that stands still at a step of a build, so that it, or the edge, can be killed just there. */
import type { SourceName } from "./sources.ts";
import type { FaultWorld, Watched } from "./world.ts";

/** A place of seams.ts, and a build that gets there. */
export type Place = { halt: string; source: SourceName | "private" };

/** Starts the build; settles with the agent that stands still there. */
export async function standstill(
  world: FaultWorld,
  { halt, source }: Place,
): Promise<{ index: number; watched: Watched }> {
  let watched: Watched | undefined;
  const index = await world.haltAt(halt, async () => {
    watched =
      source === "private"
        ? await world.startPrivate("prompt")
        : await world.start(await world.source(source));
  });
  if (watched === undefined) throw new Error("nothing was started");
  return { index, watched };
}
