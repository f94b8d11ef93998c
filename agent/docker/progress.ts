/** What the engine tells while it pulls, builds or pushes: JSON values one after the other, in an answer of status 200. */
import type { Readable } from "node:stream";
import { StringDecoder } from "node:string_decoder";
import { DockerError } from "./contracts.ts";
import { mapped } from "./errors.ts";

/** Members that we read; which of them are there depends on the call. */
export type Progress = {
  /** Output of a build, and the engine's own words about it. */
  stream?: string;
  /** State of one layer. */
  status?: string;
  id?: string;
  /** The end of it, told in the stream of an answer that began well. */
  error?: string;
  errorDetail?: { code?: number; message?: string };
  /** A text, in base64, where BuildKit traces what it does. */
  aux?: { ID?: string; Digest?: string } | string;
};

/** Characters of one value; the engine passes on a container's output in pieces far smaller. */
const VALUE_CHARS = 4 * 1024 * 1024;

/**
 * @param what the call in words: begins an error's message
 * @param silence_ms time without a word after which it is given up; null when silence is no bad sign
 */
export async function* progressOf(
  stream: Readable,
  what: string,
  silence_ms: number | null,
): AsyncGenerator<Progress, void, undefined> {
  let silence: NodeJS.Timeout | undefined;
  const heard = () => {
    clearTimeout(silence);
    if (silence_ms === null) return;
    silence = setTimeout(() => {
      stream.destroy(new DockerError("timeout", `cannot ${what}: the engine fell silent`));
    }, silence_ms);
  };
  const decoder = new StringDecoder("utf8");
  let rest = "";
  try {
    heard();
    for await (const chunk of stream) {
      clearTimeout(silence);
      const lines = (rest + decoder.write(chunk as Buffer)).split("\n");
      rest = lines.pop() ?? "";
      if (rest.length > VALUE_CHARS)
        throw new DockerError("unavailable", `cannot ${what}: the engine's answer has no end`);
      for (const line of lines) if (line.trim() !== "") yield JSON.parse(line) as Progress;
      heard();
    }
    if (rest.trim() !== "") yield JSON.parse(rest) as Progress;
  } catch (error) {
    throw mapped(error, what);
  } finally {
    clearTimeout(silence);
    stream.destroy();
  }
}
