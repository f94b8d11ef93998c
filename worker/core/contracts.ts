/**
 * What the objects promise each other and the API: RPC arguments and answers, all plain data.
 * Expected failures are values here, never throws.
 */
import type { BuildRecord, BuildState, EndClass } from "../../shared/builds.ts";
import type { AgentView, RegisterRequest } from "../../shared/identity.ts";
import type { LogEntry } from "../../shared/log.ts";
import type { Queue } from "../../shared/queue.ts";
import type { Target } from "../../shared/recipes/index.ts";

/** Who asked, for rates and the right to cancel: `token:<id>`, `admin` or `ip:<address>`. */
export type Caller = string;

/** A git host's Authorization header value, sealed under RAILHEAD_SECRET (rule 17, DESIGN.md rule 5). */
export type Sealed = string;

export type BuildRequest = {
  /** Of the build that is opened, from whoever may have to ask again (rule 8): once it is there, it is the answer. */
  id?: string;
  /** targetKey(target): single flight, and for most recipes where it is published. */
  key: string;
  target: Target;
  pool: string;
  caller: Caller;
  credential: Sealed | null;
  /** What the request brought along for the attempts, in the bucket; the Build removes it when it ends, unless it is `kept`. */
  context?: BuildContext;
  /** Agents that get it only when no other can: a replica's neighbours. */
  avoid?: readonly string[];
};

export type BuildContext = {
  key: string;
  size: number;
  sha256: string;
  /** Somebody else's to remove: an app is built from it again. */
  kept?: boolean;
};

export type BuildSummary = {
  build_id: string;
  state: BuildState;
  class: EndClass | null;
  reason: string | null;
  position: number | null;
  queue: Queue | null;
  attempt: number;
  commit: string | null;
};

// ---- Target -------------------------------------------------------------------------------------

export type TargetAnswer =
  | { kind: "admitted" | "joined"; build: BuildSummary }
  | { kind: "published"; build_id: string }
  | { kind: "refused"; code: "rate_limited" | "queue_full"; retry_after_s: number };

export interface TargetRpc {
  /** Single flight (rule 2): one build for all who ask. */
  request(request: BuildRequest): Promise<TargetAnswer>;
  /** The newest build of this target, running or ended; null when there never was one. Writes nothing. */
  current(): Promise<BuildSummary | null>;
}

// ---- Build --------------------------------------------------------------------------------------

export type EnsureAnswer =
  | { kind: "ok"; build: BuildSummary }
  | { kind: "refused"; code: "rate_limited" | "queue_full"; retry_after_s: number };

export type BeginAnswer =
  | { kind: "ok"; lease: string; target: Target; deadline_ms: number }
  /** `terminal`: forget the build; `attempt`: another number is current, use it. */
  | { kind: "refused"; code: "terminal" | "publishing" | "attempt" | "unknown"; next: number };

export type LostAnswer =
  | { kind: "requeue"; next: number }
  | { kind: "terminal" }
  /** Being published, or another attempt is current: leases no longer matter. */
  | { kind: "ignored" };

export type CancelAnswer =
  | { kind: "cancelled" | "cancelling" | "withdrawn"; build: BuildSummary }
  | { kind: "refused"; code: "already_ended" | "publishing" | "forbidden" | "unknown" };

export type ContextAnswer =
  | { kind: "ok"; context: BuildContext }
  /** `none`: this build was posted without one; `over`: the attempt is not, or no longer, the build's. */
  | { kind: "unknown" | "forbidden" | "over" | "none" };

export type LogPage = {
  entries: LogEntry[];
  /** Position of the last entry returned, or the one asked from. */
  position: number;
  /** No entry will ever follow `position`. */
  end: boolean;
  /** The rows are gone from the object: read the R2 copy. */
  moved: boolean;
};

/** The record with what access needs beside what is shown. */
export type BuildView = {
  record: BuildRecord;
  repositories: string[];
  posted_by: Caller;
  /** QueuePlace.held_back of a build that waits. */
  held_back: string[];
};

export interface BuildRpc {
  /** Creates the build, or joins it with one more caller and credential. Idempotent (rule 2). */
  ensure(id: string, request: BuildRequest): Promise<EnsureAnswer>;
  /** Mints attempt `expected` for an agent by compare-and-set (rule 1). */
  begin(
    expected: number,
    agent: { agent: string; name: string; instance: string },
  ): Promise<BeginAnswer>;
  /** The lease of attempt `n` ended, or its assign was not accepted (rules 1, 3). */
  lost(attempt: number, why: string): Promise<LostAnswer>;
  /** No agent would take it (policy): ends the build. */
  unplaceable(attempt: number, reason: string): Promise<void>;
  /** Where the context lies, for whoever holds the lease of the live attempt. */
  context(attempt: number, lease: string): Promise<ContextAnswer>;
  summary(): Promise<BuildSummary | null>;
  view(): Promise<BuildView | null>;
  /** Entries behind `after`, waiting up to `wait_ms` for the first (rule 16: readers pull). Null: the newest that fit. */
  log(after: number | null, max_bytes: number, wait_ms: number): Promise<LogPage | null>;
  /** The summary once the build has ended, or after `wait_ms`. */
  wait(wait_ms: number): Promise<BuildSummary | null>;
  /**
   * The record once the build has ended, what it led to is asked for, and the Catalog holds all that; or as it stands
   * after `wait_ms`.
   */
  settled(wait_ms: number): Promise<{ record: BuildRecord; settled: boolean } | null>;
  /** `admin` cancels; another caller withdraws its interest, and the last one cancels (rule 17). Idempotent until the end. */
  cancel(caller: Caller): Promise<CancelAnswer>;
}

// ---- Pool ---------------------------------------------------------------------------------------

export type Job = {
  build_id: string;
  /** The attempt number to begin with. */
  expected: number;
  recipe: string;
  /** Labels an agent must have. */
  needs: Record<string, string>;
  /** Agents that get it only when no other can take it now. */
  avoid: readonly string[];
  caller: Caller;
  /** A first admission counts against rate and queue length; a requeue does not. */
  admission: boolean;
  queued_at: number;
};

export type EnqueueAnswer =
  /** `place`: null once an agent has it. */
  | { kind: "ok"; place: QueuePlace | null }
  | { kind: "refused"; code: "rate_limited" | "queue_full"; retry_after_s: number };

export type Ended = {
  build_id: string;
  recipe: string;
  outcome: BuildState;
  class: EndClass | null;
  queued_ms: number | null;
  running_ms: number | null;
};

export type QueuePlace = Queue & {
  /** 1 = next. */
  position: number;
  /** The agents that could take it but take no new work, each with its reason: for those who may list agents. */
  held_back: string[];
};

export type PoolStats = {
  pool: string;
  queued: number;
  running: number;
  agents: Record<"connected" | "suspect" | "gone" | "cordoned", number>;
  capacity: number;
  /** Counted since the pool began. */
  ended: { recipe: string; outcome: BuildState; class: EndClass | null; count: number }[];
  /** Cumulative histograms, seconds. */
  histograms: {
    name: "queue_seconds" | "run_seconds" | "dispatch_seconds";
    buckets: { le: number; count: number }[];
    sum: number;
    count: number;
  }[];
};

export interface PoolRpc {
  /** Idempotent by build. Admission (rate, length) is decided here. */
  enqueue(job: Job): Promise<EnqueueAnswer>;
  /** Cancelled while it waited, or being cancelled on its agent. */
  withdraw(build_id: string, reason: string): Promise<void>;
  /** The build is terminal: forget it, free its slot, count it. Idempotent. */
  ended(ended: Ended): Promise<void>;
  place(build_id: string): Promise<QueuePlace | null>;
  register(
    request: RegisterRequest,
  ): Promise<{ kind: "ok"; agent: string } | { kind: "name_taken" }>;
  /** A nonce for the agent to sign; null for an unknown agent. */
  nonce(agent: string): Promise<string | null>;
  agents(): Promise<AgentView[]>;
  act(
    agent: string,
    action: "cordon" | "uncordon" | "drain" | "remove",
    reason: string,
  ): Promise<AgentView | null>;
  stats(): Promise<PoolStats>;
}

// ---- Catalog ------------------------------------------------------------------------------------

export const SCOPES = ["admin", "build", "deploy", "agent"] as const;
export type Scope = (typeof SCOPES)[number];

export type TokenView = {
  id: string;
  scope: Scope;
  name: string;
  created_at: string;
  expires_at: string | null;
  last_used_at: string | null;
};

/** There is one Catalog object, of this name. */
export const CATALOG_NAME = "catalog";

/** What `GET /api/builds` may be asked. Members that are absent ask for everything, and all that are there must hold. */
export type ListQuery = {
  recipe?: string | undefined;
  state?: BuildState | undefined;
  /** `remote/owner/repo` */
  repository?: string | undefined;
  namespace?: string | undefined;
  name?: string | undefined;
  version?: string | undefined;
  /** `GOOS/GOARCH`, or the major version of Erlang. */
  variant?: string | undefined;
  /** Words with which words of the repository, namespace or name begin. Looks among the newest that have them. */
  text?: string | undefined;
  /** Also what is private or unlisted: for the admin. */
  all?: boolean | undefined;
  cursor?: string | undefined;
  limit: number;
};

/** Ended builds of packages. Only those whose repository has the package's name, unless `strangers`. */
export type PackageQuery = {
  namespace?: string | undefined;
  name?: string | undefined;
  /** Any of these; a member that is absent is any. Empty: every version. */
  versions: readonly { ref?: string; erl?: string }[];
  success?: boolean | undefined;
  /** Only the newest of each (namespace, name, version, Erlang version, success). */
  newest: boolean;
  /** Also builds of repositories that do not, or no longer, have the name. */
  strangers: boolean;
  limit: number;
};

export type Claim = {
  /** `namespace/name` */
  full_name: string;
  /** `remote/owner/repo` */
  repository: string;
  /** As it was written, for those who are told that the name is taken. */
  url: string;
  verified: boolean;
};

export interface CatalogRpc {
  createToken(
    scope: Scope,
    name: string,
    expires_in_s: number | null,
  ): Promise<{ token: string; view: TokenView }>;
  /** What a token may do; null when unknown, expired or revoked. */
  checkToken(token: string): Promise<{ id: string; scope: Scope } | null>;
  listTokens(): Promise<TokenView[]>;
  revokeToken(id: string): Promise<boolean>;
  /** Takes the newest state of a build. Idempotent, by build and end (outbox of the Build). */
  put(record: BuildRecord): Promise<void>;
  /** Builds, newest first; null for a cursor that it did not make. */
  list(query: ListQuery): Promise<{ builds: BuildRecord[]; cursor: string | null } | null>;
  /** Erlang packages, newest first. */
  packages(query: PackageQuery): Promise<BuildRecord[]>;
  /**
   * Gives a package's name to a repository, unless another one has it. A `verified` claim (a signed webhook) takes it
   * over. Idempotent.
   */
  claim(claim: Claim): Promise<{ kind: "ok" } | { kind: "taken"; by: string }>;
  /** Whether a webhook, by the SHA-256 of its body, was taken before. */
  remembers(digest: string): Promise<boolean>;
  /** What it asked for is done. Idempotent. */
  remember(digest: string): Promise<void>;
  /** Pools that were ever used, for metrics and listings. */
  pools(): Promise<string[]>;
  addPool(pool: string): Promise<void>;
}
