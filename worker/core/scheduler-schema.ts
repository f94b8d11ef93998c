/** Tables of a Pool object, one statement an entry (migrations.ts). */
export const SCHEDULER_MIGRATIONS: readonly (readonly string[])[] = [
  [
    `CREATE TABLE agents (
      agent TEXT PRIMARY KEY,
      name TEXT NOT NULL UNIQUE,
      pool TEXT NOT NULL,
      public_key TEXT NOT NULL,
      labels TEXT NOT NULL,
      recipes TEXT NOT NULL DEFAULT '[]',
      capacity INTEGER NOT NULL DEFAULT 0,
      version TEXT,
      engine TEXT,
      instance TEXT,
      epoch INTEGER NOT NULL DEFAULT 0,
      connected INTEGER NOT NULL DEFAULT 0,
      seen_at INTEGER,
      nonce_at INTEGER NOT NULL DEFAULT 0,
      unwell TEXT,
      draining INTEGER NOT NULL DEFAULT 0,
      cordon TEXT
    ) STRICT`,
    `CREATE TABLE jobs (
      build TEXT PRIMARY KEY,
      recipe TEXT NOT NULL,
      needs TEXT NOT NULL,
      queued_at INTEGER NOT NULL,
      expected INTEGER NOT NULL,
      state TEXT NOT NULL CHECK (state IN ('queued', 'leased', 'loose', 'unplaceable', 'over')),
      refusals TEXT NOT NULL DEFAULT '{}',
      wake_at INTEGER
    ) STRICT`,
    `CREATE INDEX jobs_in_line ON jobs (state, queued_at, build)`,
    `CREATE INDEX jobs_wake ON jobs (wake_at) WHERE wake_at IS NOT NULL`,
    `CREATE TABLE leases (
      build TEXT PRIMARY KEY,
      attempt INTEGER NOT NULL,
      agent TEXT NOT NULL,
      state TEXT NOT NULL CHECK (state IN ('reserved', 'assigned', 'accepted', 'losing')),
      wake_at INTEGER NOT NULL,
      cancel TEXT,
      why TEXT,
      tries INTEGER NOT NULL DEFAULT 0
    ) STRICT`,
    `CREATE INDEX leases_agent ON leases (agent)`,
    `CREATE INDEX leases_wake ON leases (wake_at)`,
    `CREATE TABLE rates (
      caller TEXT PRIMARY KEY,
      tokens REAL NOT NULL,
      at INTEGER NOT NULL
    ) STRICT`,
    `CREATE TABLE outcomes (
      recipe TEXT NOT NULL,
      outcome TEXT NOT NULL,
      class TEXT NOT NULL,
      count INTEGER NOT NULL,
      PRIMARY KEY (recipe, outcome, class)
    ) STRICT, WITHOUT ROWID`,
    `CREATE TABLE observations (
      histogram TEXT NOT NULL,
      le REAL NOT NULL,
      count INTEGER NOT NULL,
      sum REAL NOT NULL,
      PRIMARY KEY (histogram, le)
    ) STRICT, WITHOUT ROWID`,
  ],
  ["ALTER TABLE agents ADD COLUMN departed INTEGER NOT NULL DEFAULT 0"],
  [
    `CREATE TABLE run_means (
      recipe TEXT PRIMARY KEY,
      count INTEGER NOT NULL,
      mean_ms REAL NOT NULL
    ) STRICT, WITHOUT ROWID`,
  ],
  // What the Build of an unplaceable job is being told.
  ["ALTER TABLE jobs ADD COLUMN reason TEXT"],
  ["ALTER TABLE jobs ADD COLUMN avoid TEXT NOT NULL DEFAULT '[]'"],
  // A lease whose slot others may have (protocol.ts, `yield`).
  ["ALTER TABLE leases ADD COLUMN yielded INTEGER NOT NULL DEFAULT 0"],
];
