/**
 * Brings one file to the edge in parts (rule 6): each part needs a ticket, the edge checks size and SHA-256 of the
 * whole. What a proxy answers in the edge's place (a page, 413, 502) is tried again.
 */
import { partStoredSchema } from "../shared/protocol.ts";
import { pause } from "./backoff.ts";
import { EdgeRefusal, edgeUrl } from "./edge.ts";
import type { Journal } from "./journal.ts";
import type { Logger } from "./logger.ts";
import type { AgentPorts } from "./ports.ts";
import { type Made, RecipeFailure } from "./recipes/contracts.ts";
import type { Uplink } from "./uplink.ts";

/** Fresh uploads after the first that the edge may ask for. */
const FRESH_UPLOADS = 2;
/** Tries of one part before the upload counts as failed. */
const PART_TRIES = 8;
/** Milliseconds that one part may take: 16 MiB at 64 KiB/s. */
const PART_MS = 256_000;

export type UploadParts = {
  ports: AgentPorts;
  edge: string;
  uplink: Uplink;
  journal: Journal;
  log: Logger;
  signal: AbortSignal;
  /** Settles when this agent may act (rule 10). */
  mayAct: () => Promise<void>;
};

/**
 * Uploads a file, or finds that a predecessor of this process had; answers its upload id for `result`.
 * @throws RecipeFailure (storage) when the edge does not take it
 */
export async function uploadFile(made: Made, parts: UploadParts): Promise<string> {
  const { journal, log, ports } = parts;
  const done = journal.find("uploaded", (note) => note.name === made.name);
  if (done) return done.id;
  let id = journal.find("upload", (note) => note.name === made.name)?.id;
  for (let fresh = 0; ; fresh++) {
    if (id === undefined) {
      id = ports.random.hex(16);
      await journal.write({ t: "upload", name: made.name, id });
    }
    const failure = await uploadOnce(id, made, parts);
    if (failure === null) {
      await journal.write({ t: "uploaded", name: made.name, id });
      return id;
    }
    if (failure.code === "fatal" || fresh === FRESH_UPLOADS)
      throw new RecipeFailure("storage", `${made.name} could not be stored: ${failure.message}`);
    log.warn("upload begins anew", { name: made.name, why: failure.message });
    id = undefined;
  }
}

type Failure = { code: "retry" | "fatal"; message: string };

async function uploadOnce(id: string, made: Made, parts: UploadParts): Promise<Failure | null> {
  const { name, size, sha256, content_type } = made;
  await parts.mayAct();
  const ready = await parts.uplink.upload({ upload: id, name, size, sha256, content_type });
  if (ready.t === "upload_failed") return ready;
  const stored: { part: number; etag: string }[] = [];
  for (let part = 1; part <= ready.parts; part++) {
    const sent = await sendPart(id, part, ready.part_size, made, parts);
    if ("code" in sent) return sent;
    stored.push(sent);
  }
  const answer = await parts.uplink.uploaded(id, stored);
  return answer.t === "upload_ok" ? null : answer;
}

async function sendPart(
  id: string,
  part: number,
  part_size: number,
  made: Made,
  { ports, edge, uplink, log, signal, mayAct }: UploadParts,
): Promise<{ part: number; etag: string } | Failure> {
  const from = (part - 1) * part_size;
  // A file that is shorter than it was throws: its bytes are not what was hashed.
  const body = await ports.disk.read(made.file, from, Math.min(part_size, made.size - from));
  for (let failures = 0; ; failures++) {
    signal.throwIfAborted();
    await mayAct();
    const ticket = await uplink.ticket(id, part);
    if (ticket.t === "upload_failed") return ticket;
    try {
      const { etag } = await ports.net.call(
        edgeUrl(edge, `agent/uploads/${id}/parts/${part}`),
        {
          method: "PUT",
          headers: {
            authorization: `Bearer ${ticket.ticket}`,
            "content-type": "application/octet-stream",
          },
          body,
          signal,
          timeout_ms: PART_MS,
        },
        partStoredSchema,
      );
      return { part, etag };
    } catch (error) {
      signal.throwIfAborted();
      const message = error instanceof Error ? error.message : String(error);
      // An expired ticket is no reason to begin anew: the next try brings a fresh one.
      if (failures + 1 >= PART_TRIES) return { code: "retry", message };
      if (error instanceof EdgeRefusal && ![401, 403].includes(error.status))
        return { code: "retry", message };
      log.warn("part is sent again", { name: made.name, part, why: message });
      await pause(ports, failures, signal);
    }
  }
}
