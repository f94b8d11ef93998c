/** Bounds of the tunnel (spec apps.md). What both ends must agree on; a change of one is a change of the protocol. */

/** Bytes of payload in one frame of data: what a small answer waits behind on a busy socket. */
export const DATA_BYTES = 16 * 1024;
/** Bytes of a head as JSON: with room for many cookies; workerd takes 128 KiB of headers. */
export const HEAD_BYTES = 256 * 1024;
/** Bytes of the largest message on the socket: a head behind its frame's type and stream. */
export const TUNNEL_MESSAGE_BYTES = HEAD_BYTES + 5;
/** Streams open at once on one socket; more are answered 503. */
export const TUNNEL_STREAMS = 2_048;
/** Bytes that each end may send on a new stream before the other has taken any: doubled whenever they were taken. */
export const FIRST_CREDIT = 8 * 1024;
/** Bytes that one stream's credit grows to while its reader keeps up: fills 100 ms at 80 Mbit/s. */
export const MOST_CREDIT = 1024 * 1024;
/** Bytes of credit beyond FIRST_CREDIT that all streams of a socket share: with those, 32 MiB bound an end's memory (protocol rule 20). */
export const SHARED_CREDIT = 16 * 1024 * 1024;
/** Bytes of one fragment of a WebSocket message: a fragment goes whole, so the first credit must hold more than one. */
export const FRAGMENT_BYTES = FIRST_CREDIT / 2;
/** Bytes of one WebSocket message, all its fragments together. */
export const MESSAGE_BYTES = 1024 * 1024;
