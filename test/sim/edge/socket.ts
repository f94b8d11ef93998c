/** An object's end of a WebSocket, as the hibernation API has it: it outlives the instance that accepted it. */
import { PING, PONG } from "../../../shared/protocol.ts";
import type { Kernel } from "../kernel.ts";

/** What a socket's end says to the network between. */
export type Carrier = {
  text(text: string): void;
  close(code: number, reason: string): void;
  /** Gone without a word. */
  cut(): void;
};

type Owner = {
  readonly storage: { gate(send: () => void): void };
  received(socket: ServerSocket, text: string): void;
  hungUp(socket: ServerSocket, code: number, reason: string): void;
};

export class ServerSocket {
  readyState: "open" | "closing" = "open";
  attachment: unknown = null;
  tags: readonly string[] = [];
  /** When the platform last answered a ping (ms); it wakes nobody for it. */
  pingedAt: number | null = null;
  readonly #kernel: Kernel;
  readonly #carrier: Carrier;
  #owner: Owner | null = null;

  constructor(kernel: Kernel, carrier: Carrier) {
    this.#kernel = kernel;
    this.#carrier = carrier;
  }

  accepted(owner: Owner, tags: readonly string[]): void {
    this.#owner = owner;
    this.tags = tags;
  }

  send(text: string): void {
    if (this.readyState === "open") this.#owner?.storage.gate(() => this.#carrier.text(text));
  }

  close(code: number, reason: string): void {
    if (this.readyState !== "open") return;
    this.readyState = "closing";
    this.#owner?.storage.gate(() => this.#carrier.close(code, reason));
  }

  /** The object died, and this with it. */
  lose(): void {
    this.#owner = null;
    this.readyState = "closing";
    this.#carrier.cut();
  }

  // ---- for the network ----------------------------------------------------------------------------

  /** What comes over a socket that the object has closed is not delivered (test/worker/pool.test.ts). */
  received(text: string): void {
    if (this.#owner === null || this.readyState !== "open") return;
    if (text === PING) {
      this.pingedAt = Math.floor(this.#kernel.now);
      this.#carrier.text(PONG);
    } else this.#owner.received(this, text);
  }

  hungUp(code: number, reason: string): void {
    this.#owner?.hungUp(this, code, reason);
  }
}
