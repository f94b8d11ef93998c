/** `--secret`, as docker has it: `id=NAME,src=FILE` or `id=NAME,env=VARIABLE`. Values never stand in an argument. */
import { readFile } from "node:fs/promises";
import { SECRETS_CHARS, secretIdSchema } from "../shared/recipes/image.ts";
import { CliError, EXIT, messageOf } from "./errors.ts";

/** Secrets by their ids. Throws CliError (usage). */
export async function readSecrets(
  options: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<Record<string, string>> {
  const secrets: Record<string, string> = {};
  for (const option of options) {
    const { id, ...from } = parse(option);
    if (Object.hasOwn(secrets, id)) throw wrong(`${id} is given twice`);
    secrets[id] = "env" in from ? variable(from.env, env) : await file(from.src);
  }
  if (JSON.stringify(secrets).length > SECRETS_CHARS)
    throw new CliError(
      `--secret: all secrets together have at most ${SECRETS_CHARS} characters.`,
      EXIT.usage,
    );
  return secrets;
}

function parse(option: string): { id: string } & ({ env: string } | { src: string }) {
  const members = new Map(
    option.split(",").map((pair) => {
      const [name = "", ...value] = pair.split("=");
      return [name === "source" ? "src" : name, value.join("=")];
    }),
  );
  // docker's `type` says no more than which of the two is there.
  const unknown = [...members.keys()].find((name) => !["id", "src", "env", "type"].includes(name));
  if (unknown !== undefined) throw wrong("it takes id, src and env");
  const id = members.get("id") ?? "";
  if (!secretIdSchema.safeParse(id).success) throw wrong("id=… is missing, or is no id");
  const src = members.get("src");
  const env = members.get("env") ?? (src === undefined ? id : undefined);
  if (src !== undefined && env !== undefined) throw wrong("it has src and env: choose one");
  return src === undefined ? { id, env: env ?? id } : { id, src };
}

function variable(name: string, env: NodeJS.ProcessEnv): string {
  const value = env[name];
  if (value === undefined) throw wrong(`${name} is not set in the environment`);
  return value;
}

async function file(path: string): Promise<string> {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(await readFile(path));
  } catch (error) {
    const why = error instanceof TypeError ? "it is no text in UTF-8" : messageOf(error);
    throw wrong(`${path} cannot be read: ${why}`);
  }
}

/** The option itself is not shown: by mistake it may hold the secret. */
function wrong(why: string): CliError {
  return new CliError(`--secret: ${why}.`, EXIT.usage);
}
