/** Inside an App object: a request goes to one of its replicas, or is told why there is none. */

import { FrameError, type Tunnel } from "../../shared/tunnel/index.ts";
import type { ReplicaRow } from "../core/app-rows.ts";
import { handed } from "./internal.ts";
import { viewLogs } from "./logs.ts";
import { serve, Unanswered } from "./serve.ts";

/** Headers by which the object tells the Worker why there is no answer of the app's. */
export const NO_ANSWER = "railhead-no-answer";
/**
 * `gone`: there is no such project any more, the copy of the routes was old. `unknown`: nobody could tell which project it is.
 */
export type NoAnswer = "gone" | "down" | "broken" | "busy" | "large" | "unknown";

export type Serving = {
  serving(): ReplicaRow[];
  exists(): boolean;
};

export async function passOn(
  request: Request,
  app: Serving,
  tunnelOf: (build: string) => Tunnel | null,
): Promise<Response> {
  if (!app.exists()) return noAnswer("gone", "");
  const what = handed(request);
  const tunnels = app.serving().flatMap(({ build, replica }) => {
    const tunnel = tunnelOf(build);
    return tunnel === null ? [] : [{ tunnel, replica }];
  });
  if (what.kind === "logs") return viewLogs(tunnels, what);
  // The least busy first; of several such any, so that requests one after the other go to all.
  tunnels.unshift(...tunnels.splice(Math.floor(Math.random() * tunnels.length)));
  tunnels.sort((a, b) => a.tunnel.size - b.tunnel.size);
  let busy: Unanswered | null = null;
  for (const { tunnel } of tunnels) {
    try {
      return await serve(tunnel, request, what.target, what.arrival);
    } catch (error) {
      if (error instanceof FrameError) return noAnswer("large", error.message);
      if (!(error instanceof Unanswered)) throw error;
      // A body that was begun cannot be sent to another one.
      if (!error.safe || request.bodyUsed) return noAnswer("broken", error.message);
      busy = error;
    }
  }
  return busy === null ? noAnswer("down", "") : noAnswer("busy", busy.message);
}

export function noAnswer(why: NoAnswer, message: string): Response {
  return new Response(message, { status: 503, headers: { [NO_ANSWER]: why } });
}
