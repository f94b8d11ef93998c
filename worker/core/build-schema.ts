/** The tables of a Build object. Changed only by a further migration (migrations.ts). */
import { DEADLINES_TABLE } from "./deadlines.ts";
import { OUTBOX_TABLE } from "./outbox.ts";

export const BUILD_MIGRATIONS: readonly (readonly string[])[] = [
  [
    OUTBOX_TABLE,
    DEADLINES_TABLE,
    // One row: the build. `stage` is what drives it, `outcome` its terminal state once there is one.
    `CREATE TABLE build (
      only INTEGER PRIMARY KEY CHECK (only = 1),
      id TEXT NOT NULL,
      key TEXT NOT NULL,
      target TEXT NOT NULL,
      pool TEXT NOT NULL,
      posted_by TEXT NOT NULL,
      stage TEXT NOT NULL,
      admission TEXT NOT NULL,
      outcome TEXT,
      class TEXT,
      reason TEXT,
      attempt INTEGER NOT NULL,
      queued_at INTEGER NOT NULL,
      started_at INTEGER,
      ended_at INTEGER,
      cancel_reason TEXT,
      manifest TEXT,
      artifacts TEXT NOT NULL,
      repositories TEXT NOT NULL,
      phases TEXT NOT NULL,
      log_moved INTEGER NOT NULL
    ) STRICT`,
    // `lease` is the SHA-256 of the lease token; `acked` the highest stored seq of this attempt's log.
    `CREATE TABLE attempts (
      n INTEGER PRIMARY KEY,
      agent TEXT NOT NULL,
      name TEXT NOT NULL,
      instance TEXT NOT NULL,
      lease TEXT NOT NULL,
      started INTEGER NOT NULL,
      lost INTEGER NOT NULL,
      acked INTEGER NOT NULL,
      epoch INTEGER NOT NULL,
      phase TEXT,
      result TEXT
    ) STRICT`,
    `CREATE TABLE callers (
      caller TEXT PRIMARY KEY,
      credential TEXT,
      joined INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID`,
    `CREATE TABLE uploads (
      upload TEXT PRIMARY KEY,
      attempt INTEGER NOT NULL,
      name TEXT NOT NULL,
      size INTEGER NOT NULL,
      sha256 TEXT NOT NULL,
      content_type TEXT NOT NULL,
      key TEXT NOT NULL,
      upload_id TEXT,
      state TEXT NOT NULL,
      etag TEXT
    ) STRICT, WITHOUT ROWID`,
    // One row a frame: `first` and `last` are positions, `text` is NDJSON as it is copied to R2, `bytes`
    // its length with all rows before it.
    `CREATE TABLE log (
      first INTEGER PRIMARY KEY,
      last INTEGER NOT NULL,
      bytes INTEGER NOT NULL,
      text TEXT NOT NULL
    ) STRICT`,
  ],
  // Who withdrew is kept, so that a repeat of it is recognised.
  ["ALTER TABLE callers ADD COLUMN withdrawn INTEGER NOT NULL DEFAULT 0"],
  // An image: what was pushed, and the context that waits for the attempts as JSON.
  ["ALTER TABLE build ADD COLUMN digest TEXT", "ALTER TABLE build ADD COLUMN context TEXT"],
  // A package: what its attempt found out, as JSON.
  ["ALTER TABLE build ADD COLUMN facts TEXT"],
  // Builds that it leads to, as JSON.
  ["ALTER TABLE build ADD COLUMN follows TEXT NOT NULL DEFAULT '[]'"],
  // Of a replica: its neighbours' agents, as JSON.
  ["ALTER TABLE build ADD COLUMN avoid TEXT NOT NULL DEFAULT '[]'"],
];

/** Every table, for a build that was refused and leaves nothing behind. */
export const BUILD_TABLES = [
  "outbox",
  "deadlines",
  "build",
  "attempts",
  "callers",
  "uploads",
  "log",
  "schema_version",
] as const;
