/** Reads Server-Sent Events (HTML standard, section 9.2) from a fetch response. */

export type ServerEvent = { id: string | null; event: string; data: string; retry: number | null };

export async function* serverEvents(response: Response): AsyncGenerator<ServerEvent> {
  let block: string[] = [];
  for await (const line of lines(response)) {
    if (line !== "") {
      block.push(line);
      continue;
    }
    if (block.length > 0) yield parse(block);
    block = [];
  }
}

/** The lines of a response as they come. */
export async function* lines(response: Response): AsyncGenerator<string> {
  if (response.body === null) return;
  let rest = "";
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    const parts = (rest + chunk).split("\n");
    rest = parts.pop() as string;
    yield* parts;
  }
  if (rest !== "") yield rest;
}

function parse(block: string[]): ServerEvent {
  const event: ServerEvent = { id: null, event: "message", data: "", retry: null };
  const data: string[] = [];
  for (const line of block) {
    const colon = line.indexOf(":");
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "id") event.id = value;
    else if (field === "event") event.event = value;
    else if (field === "data") data.push(value);
    else if (field === "retry") event.retry = Number(value);
  }
  return { ...event, data: data.join("\n") };
}
