import { DatabaseSync } from "node:sqlite";
import type { Sql, SqlRow, SqlValue } from "../../worker/core/ports.ts";

/** The core's Sql over node:sqlite: in memory, or in `file`, which a second one can open after a "crash". */
export function openSql(file = ":memory:"): Sql & { close(): void } {
  const database = new DatabaseSync(file);
  let depth = 0;
  return {
    exec: <Row extends SqlRow>(query: string, ...bindings: SqlValue[]) =>
      database
        .prepare(query)
        .all(
          ...bindings.map((value) =>
            value instanceof ArrayBuffer ? new Uint8Array(value) : value,
          ),
        )
        .map((row) => Object.fromEntries(Object.entries(row).map(toPortValue)) as Row),
    transaction: (body) => {
      const savepoint = `nested_${depth++}`;
      database.exec(`SAVEPOINT ${savepoint}`);
      try {
        const result = body();
        database.exec(`RELEASE ${savepoint}`);
        return result;
      } catch (error) {
        database.exec(`ROLLBACK TO ${savepoint}`);
        database.exec(`RELEASE ${savepoint}`);
        throw error;
      } finally {
        depth--;
      }
    },
    close: () => database.close(),
  };
}

function toPortValue([name, value]: [string, unknown]): [string, SqlValue] {
  if (value instanceof Uint8Array)
    return [
      name,
      value.buffer.slice(value.byteOffset, value.byteOffset + value.byteLength) as ArrayBuffer,
    ];
  return [name, value as SqlValue];
}
