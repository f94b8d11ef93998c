/** I8: nobody who may not read can tell what is private from what is not there. */
import type { Found } from "./checker.ts";
import type { FaultWorld } from "./world.ts";

/** Headers that differ between any two answers. */
const PER_ANSWER = new Set(["date", "x-request-id"]);

export async function checkPrivacy(world: FaultWorld, found: readonly Found[]): Promise<string[]> {
  const paths = ["GET", "HEAD", "POST"].map(
    (method) =>
      [
        method,
        "/git.example/ada/secret/linux/amd64/v1.0.0",
        "/git.example/ada/absent/linux/amd64/v1.0.0",
      ] as const,
  );
  const secret = found.filter(({ record }) => record.visibility === "private");
  const absent = "f".repeat(32);
  const builds = secret.flatMap(({ record: { build_id } }) =>
    ["", "/logs"].map(
      (rest) => ["GET", `/builds/${build_id}${rest}`, `/builds/${absent}${rest}`] as const,
    ),
  );
  const wrong: string[] = [];
  for (const [method, hidden, missing] of [...paths, ...builds]) {
    const [one, other] = [await told(world, method, hidden), await told(world, method, missing)];
    if (one !== other)
      wrong.push(
        `I8: a stranger's ${method} ${hidden} is told ${one}, of what is not there ${other}`,
      );
  }
  return wrong;
}

/** An answer without what names the thing itself. */
async function told(world: FaultWorld, method: string, path: string): Promise<string> {
  const answer = await world.stack.fetch(path, { method });
  const headers = [...answer.headers].filter(([name]) => !PER_ANSWER.has(name));
  const text = `${answer.status} ${JSON.stringify(headers)} ${await answer.text()}`;
  return path
    .split("/")
    .filter((part) => part.length > 5)
    .reduce((all, part) => all.replaceAll(part, "…"), text);
}
