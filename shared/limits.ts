/**
 * Every limit that worker, agent and cli share: one name, one unit, one reason. What an operator
 * may change is read from the environment where it is used, with these as the defaults.
 */

const KIB = 1024;
const MIB = 1024 * KIB;

// Log

/** Bytes of one entry's `msg`. A longer container line is split into several entries. */
export const LOG_LINE_BYTES = 16 * KIB;
/** Bytes of entries (as JSON) in one `log` frame: large frames are what makes storing a log fast. */
export const LOG_FRAME_BYTES = 64 * KIB;
/** `log` frames that may be under way without an `ack`: bounds what a Build object queues. */
export const LOG_WINDOW_FRAMES = 4;
/** Milliseconds that an agent gathers lines before it sends a frame that is not full. */
export const LOG_FLUSH_MS = 40;
/** Bytes of container output kept from the start of an attempt's log. */
export const LOG_HEAD_BYTES = 16 * MIB;
/** Bytes of container output kept from the end of a log that went over its head. */
export const LOG_TAIL_BYTES = 1 * MIB;
/** Bytes of spooled entries the edge has not acknowledged before a container is made to wait. */
export const LOG_UNACKED_BYTES = 8 * MIB;
/** Bytes (JSON) of agents' entries that the edge keeps of one build, all attempts together: one gap record stands for the rest. */
export const LOG_BUILD_BYTES = 256 * MIB;
/** Bytes of the largest page a reader of a log may ask a Build object for. */
export const LOG_PAGE_BYTES = 256 * KIB;
/** Milliseconds a reader's request for the next page may wait in a Build object. */
export const LOG_WAIT_MS = 20_000;
/** Milliseconds after which a private log stream ends and access is checked anew (rule 17). */
export const LOG_PRIVATE_STREAM_MS = 60_000;

// Frames

/** Bytes of any frame on a control or attempt socket; a larger one closes the socket with 1009. */
export const FRAME_BYTES = 256 * KIB;

// Liveness (protocol rules 3, 9 and 10)

/** Milliseconds between an agent's pings on its control socket. */
export const PING_INTERVAL_MS = 4_000;
/** Milliseconds without a ping after which an agent gets no new work. */
export const SUSPECT_AFTER_MS = 12_000;
/** Milliseconds without a ping after which the edge gives an agent's attempts to others. */
export const LEASE_EXPIRY_MS = 120_000;
/** Milliseconds an agent trusts its own lease: shorter than LEASE_EXPIRY_MS by the time to kill. */
export const AGENT_LEASE_MS = 90_000;
/** Milliseconds an agent has to answer `assign` before the build moves on under a new number. */
export const ACCEPT_WITHIN_MS = 2_000;
/** Milliseconds of the longest pause between two reconnects: below half the agent's lease. */
export const RECONNECT_MAX_MS = 30_000;
/** Confirmed starts a build may have before it ends as `agent_lost`. */
export const MAX_ATTEMPTS = 3;

// Builds

/** Milliseconds a build may wait for an agent before it ends as `queue_timeout`. */
export const QUEUE_DEADLINE_MS = 60 * 60_000;
/** Milliseconds one attempt may run, fetch to upload, unless the agent's owner says less. */
export const ATTEMPT_DEADLINE_MS = 30 * 60_000;
/** Milliseconds the edge waits after an attempt's deadline for the agent's own word on it. */
export const ATTEMPT_GRACE_MS = 2 * 60_000;
/** Milliseconds a cancelled attempt has to clean its host before the build ends without it. */
export const CANCEL_GRACE_MS = 45_000;
/** Credentials of joiners that a private build keeps to try in turn. */
export const MAX_CREDENTIALS = 5;
/** Milliseconds the edge tries to publish before it looks what is published and ends the build by that. */
export const PUBLISH_DEADLINE_MS = 15 * 60_000;
/** Seconds of the longest `?wait=`: below what proxies cut. */
export const WAIT_MAX_SECONDS = 300;

// Artifacts

/** Bytes up to which a file is one put with R2's own SHA-256 check. */
export const SINGLE_PUT_BYTES = 16 * MIB;
/** Bytes of one part of a larger file: far below the 100 MB request limit of the platform. */
export const PART_BYTES = 16 * MIB;
/** Bytes of one artifact. */
export const ARTIFACT_BYTES = 2 * 1024 * MIB;
/** Files one build may publish. */
export const ARTIFACT_FILES = 16;
/** Files one archive may hold. */
export const ARCHIVE_ENTRIES = 20_000;
/** Milliseconds a ticket for one part is good for. */
export const TICKET_MS = 60_000;

// Images

/** Bytes of a build context, as it is sent: what an agent unpacks and the engine reads again. */
export const CONTEXT_BYTES = 512 * MIB;
/** Bytes of one part of a context on its way into the bucket: R2 wants 5 MiB, a Worker's memory little more. */
export const CONTEXT_PART_BYTES = 8 * MIB;
/** Bytes of a context inside a JSON body, decoded: such a body stands in memory as a whole. */
export const CONTEXT_JSON_BYTES = 16 * MIB;
/** Bytes of an image, all layers unpacked, unless the agent's owner says otherwise. */
export const IMAGE_BYTES = 8 * 1024 * MIB;

// Memory

/**
 * Bytes that an agent has in memory (resident) at most, whatever its builds print or leave: Node and its code, the
 * log window of every slot, one part on its way up, and garbage not yet collected. `npm run faults` holds it to this.
 */
export const AGENT_MEMORY_BYTES = 384 * MIB;

// Names

/** Characters of one path segment of a request. */
export const SEGMENT_CHARS = 128;
/** Segments of a repository's path below its remote. */
export const REPOSITORY_SEGMENTS = 8;
/** Characters of a file's name, its decoration (`.tar.gz.sha256`) included. */
export const FILE_NAME_CHARS = 192;
/** Characters of a Go path without its file, percent-encoded: with our prefixes it must fit an R2 key (1 024 bytes). */
export const GO_PATH_CHARS = 800;
/** Characters of a token or git credential in a header. */
export const CREDENTIAL_CHARS = 4_096;
/** Bytes of a JSON request body. */
export const BODY_BYTES = 64 * KIB;
/** Bytes of a webhook: a push lists up to 2 048 commits with the files of each. */
export const WEBHOOK_BYTES = 4 * MIB;
