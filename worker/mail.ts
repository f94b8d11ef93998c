/** Mail through an HTTP API of the shape that Resend documents ("Send Email"), which others take as well. */
import { readConfig } from "./config.ts";
import type { Mailer } from "./core/build-ports.ts";

/** Milliseconds that the API has for one mail. */
const SEND_MS = 10_000;

/** Null where no mail is written, or nothing else can be told of the settings either. */
export function mailerOf(env: Env): Mailer | null {
  const mail = configured(env);
  if (mail === null) return null;
  const { url, from, token, origin } = mail;
  return {
    origin,
    async send({ to, subject, text }, key) {
      try {
        const response = await fetch(url, {
          method: "POST",
          redirect: "manual",
          signal: AbortSignal.timeout(SEND_MS),
          headers: {
            authorization: `Bearer ${token}`,
            "content-type": "application/json",
            "idempotency-key": key,
            // Resend refuses whoever does not say who it is.
            "user-agent": "railhead",
          },
          body: JSON.stringify({ from, to: [to], subject, text }),
        });
        await response.body?.cancel();
        return verdict(response.status);
      } catch {
        return "later";
      }
    },
  };
}

function configured(env: Env) {
  try {
    return readConfig(env).mail;
  } catch {
    return null;
  }
}

/** 408, 409 (the same mail is being taken) and 429 pass, as a server's own failures do. */
function verdict(status: number): "sent" | "refused" | "later" {
  if (status >= 200 && status < 300) return "sent";
  return status >= 500 || [408, 409, 429].includes(status) ? "later" : "refused";
}
