/** From what dockerode throws to a DockerError: the one place that knows the engine's status codes. */
import { DockerError, type DockerErrorKind } from "./contracts.ts";

const KIND_OF_STATUS: Record<number, DockerErrorKind> = {
  400: "invalid",
  401: "auth",
  403: "auth",
  404: "gone",
  409: "conflict",
};

const UNREACHABLE = new Set(["ECONNREFUSED", "ECONNRESET", "ENOENT", "EPIPE", "EACCES", "EPERM"]);

/** What dockerode puts before the engine's words. */
const WRAPPING = /^\(HTTP code \d+\) [a-z ]+ - /;

/** What dockerode's errors carry, when they carry anything. */
type Thrown = {
  message?: unknown;
  statusCode?: unknown;
  json?: { message?: unknown } | null;
  code?: unknown;
  name?: unknown;
};

/** The engine's own sentence, without dockerode's wrapping of it. */
function sentence(thrown: Thrown): string {
  const inner = thrown.json?.message;
  const text = typeof inner === "string" ? inner : String(thrown.message ?? "unknown error");
  return text.replace(WRAPPING, "").trim();
}

/**
 * Maps anything thrown by a call to the engine.
 *
 * @param cause what was thrown; a DockerError passes through
 * @param what the call in words, "start the container": begins the message
 */
export function mapped(cause: unknown, what: string): DockerError {
  if (cause instanceof DockerError) return cause;
  const thrown: Thrown = typeof cause === "object" && cause !== null ? cause : { message: cause };
  const words = sentence(thrown);
  const said = `cannot ${what}: ${words}`;
  const status = typeof thrown.statusCode === "number" ? thrown.statusCode : null;
  if (status !== null) return new DockerError(kindOf(status, said), said, { status, said: words });
  if (thrown.name === "AbortError") return new DockerError("timeout", said);
  const code = typeof thrown.code === "string" ? thrown.code : "";
  if (code === "EACCES" || code === "EPERM") {
    return new DockerError(
      "unavailable",
      `${said}: let the agent's user use the engine's socket, as a member of the group docker`,
    );
  }
  if (UNREACHABLE.has(code)) {
    return new DockerError("unavailable", `${said}: is the Docker engine running?`);
  }
  return new DockerError("unavailable", said);
}

function kindOf(status: number, said: string): DockerErrorKind {
  const known = KIND_OF_STATUS[status];
  if (known === "gone" && /could not find the file|no such image/i.test(said)) return "not_found";
  if (/has active endpoints/i.test(said)) return "conflict";
  if (known !== undefined) return known;
  // A registry's refusal comes as a 500 of the engine.
  return inStreamKind(said);
}

/** An error that came in the stream of an answer that began with 200. */
export function inStream(words: string, what: string): DockerError {
  return new DockerError(inStreamKind(words), `cannot ${what}: ${words}`, { said: words });
}

/** The kind of an error that the engine reports as text: in a 500, or in the stream of a pull. */
function inStreamKind(text: string): DockerErrorKind {
  if (/unauthorized|authentication required|no basic auth|access denied|denied:/i.test(text)) {
    return "auth";
  }
  if (/not found|manifest unknown|does not exist/i.test(text)) return "not_found";
  return "unavailable";
}

/** True for errors of the given kinds. */
export function isKind(error: unknown, ...kinds: DockerErrorKind[]): error is DockerError {
  return error instanceof DockerError && kinds.includes(error.kind);
}
