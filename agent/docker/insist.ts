/** Removing what is in use for a moment still. */
import { isKind } from "./errors.ts";
import { sleep } from "./time.ts";

/** Attempts at a volume, network or image whose container was removed a moment ago. */
const ATTEMPTS = 20;
/** Milliseconds between two of them. */
const RETRY_MS = 250;

/** Removes something that is already going, or that its last user leaves just now. */
export async function insist(remove: () => Promise<void>): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await remove();
    } catch (error) {
      if (isKind(error, "gone", "not_found")) return;
      if (!isKind(error, "conflict") || attempt === ATTEMPTS) throw error;
      await sleep(RETRY_MS);
    }
  }
}
