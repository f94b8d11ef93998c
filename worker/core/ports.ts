/** What the core is given instead of a platform, so that the simulation can run it in virtual time. */

export type SqlValue = string | number | null | ArrayBuffer;
export type SqlRow = Record<string, SqlValue>;

/** SQLite, synchronous as in a Durable Object and in node:sqlite. At most 100 bound parameters. */
export interface Sql {
  exec<Row extends SqlRow>(query: string, ...bindings: SqlValue[]): Row[];
  /** Runs `body` as one transaction; a throw rolls it back. */
  transaction<T>(body: () => T): T;
}

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
}

export interface Random {
  /** `bytes` random bytes as lower-case hex. */
  hex(bytes: number): string;
}

/** One alarm an object, as the platform has it; the core keeps its deadlines in a table. */
export interface Alarm {
  /** Arms the alarm for `at` (ms since the epoch), or disarms it. */
  set(at: number | null): void;
}
