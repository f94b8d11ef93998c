/** Runs a command line to its exit status: what the tools of this room have in common. */
import { type Command, CommanderError } from "commander";
import { CliError, EdgeRefusal, EXIT, messageOf } from "./errors.ts";
import { say } from "./terminal.ts";

export type Manner = {
  /** What stands before an error. */
  prefix: string;
  /** Exit status of an error, from the one that it names. */
  statusOf(named: number): number;
};

/** Nothing is thrown: errors are said on stderr, as JSON with `--json`. */
export async function runProgram(
  program: Command,
  args: readonly string[],
  { prefix, statusOf }: Manner,
): Promise<number> {
  const json = args.includes("--json");
  for (const command of [
    program,
    ...program.commands,
    ...program.commands.flatMap((c) => c.commands),
  ]) {
    command.exitOverride();
    // Commander tells of wrong usage by itself, in plain text.
    if (json) command.configureOutput({ writeErr: () => {} });
  }
  const work = async () => {
    await program.parseAsync(args, { from: "user" });
    return Number(process.exitCode ?? EXIT.ok);
  };
  return told(work, { name: program.name(), prefix, statusOf, json });
}

/** Runs `work` to its exit status, and says why it failed. */
export async function told(
  work: () => Promise<number>,
  { name, prefix, statusOf, json = false }: Manner & { name: string; json?: boolean },
): Promise<number> {
  try {
    return await work();
  } catch (error) {
    // --help and --version end this way too.
    if (error instanceof CommanderError && error.exitCode === 0) return EXIT.ok;
    if (json) say(errorAsJson(error, name));
    else if (!(error instanceof CommanderError)) say(`${prefix}${errorAsText(error)}`);
    if (error instanceof CommanderError) return EXIT.usage;
    return statusOf(error instanceof CliError ? error.status : EXIT.failed);
  }
}

/** A reader that has seen enough (`railhead logs … | head`) is no error. */
export function endWithReader(): void {
  process.stdout.on("error", (error) => {
    if ("code" in error && error.code === "EPIPE") process.exit(EXIT.ok);
    throw error;
  });
}

function errorAsText(error: unknown): string | undefined {
  const debug = process.env.RAILHEAD_DEBUG && !(error instanceof CliError);
  return debug && error instanceof Error ? error.stack : messageOf(error);
}

function errorAsJson(error: unknown, name: string): string {
  const message =
    error instanceof CommanderError && error.code === "commander.help"
      ? `Say what to do: ${name} --help shows what there is.`
      : messageOf(error).replace(/^error: /, "");
  return JSON.stringify({
    error: message,
    code: error instanceof EdgeRefusal ? error.code : null,
  });
}
