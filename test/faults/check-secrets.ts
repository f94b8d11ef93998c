/** I5: what was planted as a secret, in any of the ways that programs write text, is nowhere that people look. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Found } from "./checker.ts";
import { type FaultWorld, PRIVATE } from "./world.ts";

export async function checkSecrets(world: FaultWorld, found: readonly Found[]): Promise<string[]> {
  const { stack } = world;
  const metrics = await stack.fetch("/metrics").then((answer) => answer.text());
  const agents = [...world.proxies.keys()].map(
    async (index) => [`log of agent ${index}`, await readText(stack.agentLog(index))] as const,
  );
  const places: (readonly [string, string])[] = [
    ...found.map(({ record }) => [`record of ${record.build_id}`, JSON.stringify(record)] as const),
    ...found.map(({ record, log }) => [`log of ${record.build_id}`, JSON.stringify(log)] as const),
    ["metrics", metrics],
    ...(await Promise.all(agents)),
    ["log of the edge", await readText(stack.edgeLog)],
    ["keys of the bucket", await bucketKeys(stack.folder)],
  ];
  const forms = formsOf([PRIVATE.password, stack.token]);
  return places
    .filter(([, text]) => forms.some((form) => text.includes(form)))
    .map(([place]) => `I5: a secret is in the ${place}`);
}

/** As it is, in base64 with its user, in a URL, and as a JSON or Go string. */
function formsOf(secrets: readonly string[]): string[] {
  const { user, password } = PRIVATE;
  const plain = [...secrets, Buffer.from(`${user}:${password}`).toString("base64")];
  return plain.flatMap((secret) => {
    const quoted = JSON.stringify(secret).slice(1, -1);
    return [secret, encodeURIComponent(secret), quoted, JSON.stringify(quoted).slice(1, -1)];
  });
}

/** Everything in the databases that say what lies in the bucket: keys and metadata. */
async function bucketKeys(folder: string): Promise<string> {
  const root = join(folder, "edge");
  const names = (await readdir(root, { recursive: true })).filter((name) =>
    /r2.*\.sqlite(?:-wal)?$/.test(name),
  );
  return (await Promise.all(names.map((name) => readFile(join(root, name), "latin1")))).join("\n");
}

function readText(file: string): Promise<string> {
  return readFile(file, "utf8").catch(() => "");
}
