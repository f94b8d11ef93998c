/** The tables of an App object. Changed only by a further migration (migrations.ts). */
import { DEADLINES_TABLE } from "./deadlines.ts";
import { OUTBOX_TABLE } from "./outbox.ts";

export const APP_MIGRATIONS: readonly (readonly string[])[] = [
  [
    OUTBOX_TABLE,
    DEADLINES_TABLE,
    // One row while there is such a project. `current` is the generation that serves.
    `CREATE TABLE project (
      only INTEGER PRIMARY KEY CHECK (only = 1),
      name TEXT NOT NULL,
      current INTEGER
    ) STRICT`,
    // `context` is JSON, null once it is not kept any more; `build` the first replica's first build.
    `CREATE TABLE deployments (
      generation INTEGER PRIMARY KEY AUTOINCREMENT,
      state TEXT NOT NULL,
      build TEXT NOT NULL UNIQUE,
      rule TEXT NOT NULL,
      settings TEXT NOT NULL,
      fingerprint TEXT NOT NULL,
      context TEXT,
      rollback_of INTEGER,
      caller TEXT NOT NULL,
      reason TEXT,
      created_at INTEGER NOT NULL,
      live_at INTEGER,
      ended_at INTEGER
    ) STRICT`,
    // One row for each build of a replica that makes or runs one. `serve` is the SHA-256 of its token, `sealed` the token.
    `CREATE TABLE replicas (
      build TEXT PRIMARY KEY,
      generation INTEGER NOT NULL,
      replica INTEGER NOT NULL,
      stage TEXT NOT NULL,
      serve TEXT NOT NULL UNIQUE,
      sealed TEXT NOT NULL,
      agent TEXT,
      name TEXT,
      state TEXT NOT NULL,
      restarts INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID`,
    "CREATE INDEX replicas_of ON replicas (generation, replica)",
    `CREATE TABLE env (
      name TEXT PRIMARY KEY,
      sealed TEXT NOT NULL
    ) STRICT, WITHOUT ROWID`,
  ],
  [
    // The variables that a deployment was asked for with, until it has ended.
    `CREATE TABLE deployed_env (
      generation INTEGER NOT NULL,
      name TEXT NOT NULL,
      sealed TEXT NOT NULL,
      PRIMARY KEY (generation, name)
    ) STRICT, WITHOUT ROWID`,
    `INSERT INTO deployed_env (generation, name, sealed)
      SELECT generation, name, env.sealed FROM deployments, env WHERE state IN ('live', 'deploying', 'waiting')`,
    // Of a lost one: why it could not be made anew the last time.
    "ALTER TABLE replicas ADD COLUMN reason TEXT",
  ],
];
