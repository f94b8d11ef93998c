/** The edge's secrets: what is sealed or signed is a number in a book that only the edge has. */
import type { Vault } from "../../../worker/core/build-ports.ts";
import type { Ticket } from "../../../worker/core/ticket.ts";
import { sha256 } from "../../support/store.ts";

export class BookVault implements Vault {
  readonly #sealed: string[] = [];
  readonly #tickets: Ticket[] = [];

  seal(text: string): string {
    return `sealed:${this.#sealed.push(text) - 1}`;
  }

  async unseal(sealed: string): Promise<string | null> {
    return this.#sealed[Number(sealed.slice("sealed:".length))] ?? null;
  }

  async sign(ticket: Ticket): Promise<string> {
    return `ticket:${this.#tickets.push(ticket) - 1}`;
  }

  /** The ticket; null when it is forged or expired at `now` (ms since the epoch). */
  verify(token: string, now: number): Ticket | null {
    const ticket = this.#tickets[Number(token.slice("ticket:".length))];
    return token.startsWith("ticket:") && ticket && ticket.exp * 1000 > now ? ticket : null;
  }

  async digest(text: string): Promise<string> {
    return sha256(text);
  }
}
