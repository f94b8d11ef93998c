/** Containers of Railhead that the engine started, as it tells them (Engine API, GET /events). */
import { request } from "node:http";
import { DOCKER_SOCKET } from "../support/engine.ts";

export type Start = { agent: string; build: string; attempt: number; phase: string };

export class Starts {
  readonly all: Start[] = [];
  #close = () => {};

  static async watch(): Promise<Starts> {
    const starts = new Starts();
    const filters = { type: ["container"], event: ["start"], label: ["railhead.build"] };
    const path = `/events?filters=${encodeURIComponent(JSON.stringify(filters))}`;
    await new Promise<void>((resolve, reject) => {
      const call = request({ socketPath: DOCKER_SOCKET, path }, (response) => {
        let rest = "";
        response.on("data", (chunk: Buffer) => {
          const lines = (rest + chunk).split("\n");
          rest = lines.pop() ?? "";
          for (const line of lines) if (line.trim() !== "") starts.#add(JSON.parse(line));
        });
        response.on("error", () => {});
        resolve();
      });
      call.on("error", reject);
      call.end();
      starts.#close = () => call.destroy();
    });
    return starts;
  }

  close(): void {
    this.#close();
  }

  #add({ Actor }: { Actor: { Attributes: Record<string, string> } }): void {
    const label = (name: string) => Actor.Attributes[`railhead.${name}`] ?? "";
    this.all.push({
      agent: label("agent"),
      build: label("build"),
      attempt: Number(label("attempt")),
      phase: label("phase"),
    });
  }
}
