/** A client's WebSocket on the edge's end of a tunnel's stream. */
import {
  closing,
  FrameError,
  type StreamEvents,
  StreamReset,
  type TunnelStream,
} from "../../shared/tunnel/index.ts";
import { Pace } from "./pace.ts";

/** Bytes of messages that a client may send ahead of its app; a socket knows no backpressure, so it is closed beyond. */
const AHEAD_BYTES = 4 * 1024 * 1024;
/** RFC 6455 section 7.4.1. */
const GOING_AWAY = 1001;
const ABNORMAL = 1006;
const TOO_LARGE = 1009;
const TRY_AGAIN = 1013;

/** Passes messages both ways until one side closes. `socket` is the edge's end of the pair, accepted. */
export function bridge(socket: WebSocket, stream: TunnelStream): StreamEvents {
  let ahead = 0;
  const pace = new Pace();
  const close = (...heard: [code: number, reason: string]) => {
    const { code, reason } = closing(...heard);
    try {
      socket.close(code, reason);
    } catch {
      // Closed already.
    }
  };
  socket.addEventListener("message", ({ data }) => {
    const message = typeof data === "string" ? data : new Uint8Array(data as ArrayBuffer);
    ahead += message.length;
    if (ahead > AHEAD_BYTES) {
      stream.reset("broken", "the client sends faster than its app reads");
      close(TRY_AGAIN, "too much at once");
      return;
    }
    pass(stream, message)
      .catch((error: unknown) => {
        if (error instanceof FrameError) close(TOO_LARGE, error.message);
        stream.reset("broken", "a message could not be passed on");
      })
      .finally(() => {
        ahead -= message.length;
      });
  });
  socket.addEventListener("close", ({ code, reason }) => {
    if (code === ABNORMAL) stream.reset("cancelled", "the client was cut off");
    else stream.close(code, reason).catch(ignoreReset);
    close(code, reason);
  });
  socket.addEventListener("error", () => stream.reset("cancelled", "the client's socket broke"));
  return {
    message: (message, taken) => {
      try {
        socket.send(message);
      } catch {
        stream.reset("cancelled", "the client is gone");
      }
      void pace.sent(message.length).then(taken);
    },
    close: (code, reason) => {
      close(code, reason);
      stream.close(code, reason).catch(ignoreReset);
    },
    reset: (_, message) => close(GOING_AWAY, message),
  };
}

async function pass(stream: TunnelStream, message: string | Uint8Array): Promise<void> {
  await stream.send(message);
}

function ignoreReset(error: unknown): void {
  if (!(error instanceof StreamReset)) throw error;
}
