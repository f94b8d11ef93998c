/** The tunnel between an app's object and the agent that runs the app. */
export { closing } from "./closing.ts";
export {
  type AnswerHead,
  type Frame,
  FrameError,
  type LogsHead,
  type OpenHead,
  type RequestHead,
  type ResetCode,
  type ResponseHead,
} from "./frames.ts";
export { MESSAGE_BYTES, TUNNEL_MESSAGE_BYTES, TUNNEL_STREAMS } from "./limits.ts";
export { type StreamEvents, StreamReset, TunnelStream } from "./stream.ts";
export { Tunnel, type TunnelPorts } from "./tunnel.ts";
