/** A call to the engine: throws a DockerError, and settles whatever becomes of its connection. */
import { DockerError } from "./contracts.ts";
import { mapped } from "./errors.ts";

/** Milliseconds of an ordinary call. */
const CALL_MS = 60_000;

/** dockerode sends all options as query and as body unless they are told apart with these two. */
export type Split = { _query: Record<string, unknown>; _body: Record<string, unknown> };

/** @param what the call in words, "start the container": begins the error's message */
export async function mappedCall<T>(what: string, make: () => Promise<T>): Promise<T> {
  try {
    return await make();
  } catch (error) {
    throw mapped(error, what);
  }
}

/** A call that settles within `ms`. */
export async function call<T>(what: string, make: () => Promise<T>, ms = CALL_MS): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new DockerError("timeout", `cannot ${what}: no answer in ${ms / 1000} seconds`));
    }, ms);
  });
  try {
    return await Promise.race([mappedCall(what, make), late]);
  } finally {
    clearTimeout(timer);
  }
}
