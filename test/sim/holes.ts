/**
 * Known bugs, planted on purpose: each takes one rule of the protocol away by an edit of a source text, and the
 * simulation must find it. An edit whose `find` is not in the source exactly once is an error: the rule moved.
 */
export type Hole = {
  name: string;
  /** What no longer holds. */
  rule: string;
  edits: { file: string; find: string; replace: string }[];
};

export const HOLES: readonly Hole[] = [
  {
    name: "publish-without-commit-point",
    rule: "4: the Build stores its commit point before it puts the manifest",
    edits: [
      {
        file: "worker/core/build-attempt.ts",
        find: "this.#life.commit(manifest);",
        replace: `const { store } = this.#parts.ports;
    const put = store.putManifest("manifests/" + row.key, manifest, null);
    this.#parts.ports.background(
      put.then(() => this.#life.succeed(row, manifest)).catch(() => {}),
    );`,
      },
    ],
  },
  {
    name: "two-authorities-for-the-attempt",
    rule: "1: only the Build mints attempts",
    edits: [
      {
        file: "worker/core/build-lifecycle.ts",
        find: `if (expected !== next) return { kind: "refused", code: "attempt", next };`,
        replace: "",
      },
      {
        file: "worker/core/build-lifecycle.ts",
        find: "const next = again ? row.attempt : row.attempt + 1;",
        replace: "const next = expected;",
      },
    ],
  },
  {
    name: "single-flight-across-an-await",
    rule: "2: the current build of a target is swapped by a compare-and-set",
    edits: [
      {
        file: "worker/core/target.ts",
        find: "if (this.#flight !== null) {",
        replace: "if (this.#flight !== null && this.#row()?.ensured === 0) {",
      },
      {
        file: "worker/core/target.ts",
        find: "if (this.#flight === null && this.#row()?.current === row?.current)",
        replace: "",
      },
      {
        file: "worker/core/target.ts",
        find: "ON CONFLICT DO NOTHING RETURNING",
        replace: "ON CONFLICT DO UPDATE SET current = excluded.current RETURNING",
      },
      {
        file: "worker/core/target.ts",
        find: "request = ?, ensured = 0 WHERE current = ? RETURNING current",
        replace: "request = ?, ensured = 0 WHERE current = current OR ? RETURNING current",
      },
    ],
  },
  {
    name: "ack-before-store",
    rule: "15: what is acknowledged is stored",
    edits: [
      {
        file: "worker/core/build-attempt.ts",
        find: "log.appendBounded(entries);",
        replace: "void ports.timer.after(100).done.then(() => log.appendBounded(entries));",
      },
    ],
  },
  {
    name: "lost-outbox-row",
    rule: "8: a message between objects stays until it is confirmed",
    edits: [
      {
        file: "worker/core/outbox.ts",
        find: `    try {
      await this.#deliver({ verb: row.verb, key: row.key, body: JSON.parse(row.body) });`,
        replace: `    this.#sql.exec("DELETE FROM outbox WHERE id = ?", row.id);
    try {
      await this.#deliver({ verb: row.verb, key: row.key, body: JSON.parse(row.body) });`,
      },
    ],
  },
  {
    name: "leases-judged-at-boot",
    rule: "9: expiry counts from the Pool's own start",
    edits: [
      {
        file: "worker/core/registry.ts",
        find: "this.disconnected(agent, clock.now(), false);",
        replace: "this.disconnected(agent, agent.seenAt ?? 0, false);",
      },
    ],
  },
  {
    name: "log-renumbered-after-restart",
    rule: "13: a log entry gets its number once",
    edits: [
      {
        file: "agent/spool.ts",
        find: "return { at, crc };",
        replace: "return at < 0 ? { at, crc } : { at: 0, crc: 0 };",
      },
    ],
  },
  {
    name: "restart-without-adoption",
    rule: "12: a restarted agent goes on with what it holds",
    edits: [
      {
        file: "agent/attempts.ts",
        find: "if (journal.assignment.boot === boot)",
        replace: "if (journal.assignment.boot !== boot)",
      },
    ],
  },
  {
    name: "repeated-enqueue-asks-for-another-number",
    rule: "8: what is sent again changes nothing",
    edits: [
      {
        file: "worker/core/build-mail.ts",
        find: `if (row.stage === "running" || row.stage === "publishing") return;`,
        replace: "",
      },
      {
        file: "worker/core/build-mail.ts",
        find: `row.stage === "assigned" ? row.attempt : row.attempt + 1`,
        replace: "row.attempt + 1",
      },
    ],
  },
  {
    name: "constructor-arms-no-alarm",
    rule: "8: the constructor arms the earliest deadline",
    edits: [
      {
        file: "worker/core/build.ts",
        find: `if (this.#row() === null) return;
    this.#parts.deadlines.rearm();
    this.#ports.background(this.settle());`,
        replace: "",
      },
    ],
  },
  {
    name: "starts-counted-unconfirmed",
    rule: "3: only confirmed starts count",
    edits: [
      {
        file: "worker/core/build-rows.ts",
        find: "WHERE started = 1 AND lost = 1",
        replace: "WHERE lost = 1",
      },
    ],
  },
  {
    name: "log-rows-gone-before-the-copy",
    rule: "15: rows go only after the copy is confirmed",
    edits: [
      {
        file: "worker/core/build-finish.ts",
        find: "await ports.store.putLog(key, bytes, log.chunks());",
        replace: `const chunks = [...log.chunks()];
    log.clear();
    await ports.store.putLog(key, bytes, chunks);`,
      },
    ],
  },
  {
    name: "suspect-is-expired",
    rule: "9: suspect is not expired",
    edits: [
      {
        file: "worker/core/scheduler-control.ts",
        find: "now - seen < LEASE_EXPIRY_MS) continue;",
        replace: "now - seen < SUSPECT_AFTER_MS) continue;",
      },
    ],
  },
  {
    name: "lease-never-expires",
    rule: "10: an agent lets go before its attempts are given to others",
    edits: [
      {
        file: "agent/lease.ts",
        find: `if (this.#clock() - this.#from > AGENT_LEASE_MS) return "expired";`,
        replace: "",
      },
    ],
  },
  {
    name: "credentials-kept",
    rule: "17: credentials are erased at the end",
    edits: [
      {
        file: "worker/core/build-lifecycle.ts",
        find: "rows.eraseCredentials();",
        replace: "",
      },
    ],
  },
  {
    name: "secrets-not-redacted",
    rule: "13: what is spooled is redacted",
    edits: [
      {
        file: "agent/attempt.ts",
        find: "for (const credential of credentials) this.#redactor.add(secretsOf(credential));",
        replace: "",
      },
    ],
  },
  {
    name: "replaces-what-is-whole",
    rule: "5: a manifest is replaced only when a file of it is proven missing",
    edits: [
      {
        file: "worker/core/target.ts",
        find: `if (build_id !== null) return { kind: "published", build_id };`,
        replace: "",
      },
      {
        file: "worker/core/build-finish.ts",
        find: `if (present.manifest.build_id === row.id || (await isIntact(store, present.manifest)))
      return present.manifest;`,
        replace: "",
      },
    ],
  },
  {
    name: "phase-not-journaled",
    rule: "12: each phase is journaled before its side effect",
    edits: [
      {
        file: "agent/container.ts",
        find: `if (!begun) await journal.write({ t: "run", phase, at: clock.now() });`,
        replace: "",
      },
    ],
  },
  {
    name: "log-not-sent-again",
    rule: "13: after a cut the spool is sent again from where the Build has it",
    edits: [{ file: "agent/uplink.ts", find: "this.#sent = frame.acked;", replace: "" }],
  },
  {
    name: "last-line-lost",
    rule: "14: what the engine kept is in the log, or a gap record is",
    edits: [
      {
        file: "agent/lines.ts",
        find: "if (this.#pending.length > 0) this.#line(this.#pending, pieces);",
        replace: "",
      },
    ],
  },
  {
    name: "follow-up-under-no-id",
    rule: "8: a message between objects is idempotent, however often it is sent",
    edits: [
      {
        file: "worker/core/target.ts",
        find: "request.id ?? this",
        replace: "this",
      },
    ],
  },
];
