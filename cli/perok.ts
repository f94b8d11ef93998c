#!/usr/bin/env node
/** `perok`: peroku's command line, with its words and its output. */
import { Command } from "commander";
import type { AppOptions } from "./app-settings.ts";
import { appLogs } from "./commands/app-logs.ts";
import { down } from "./commands/down.ts";
import { list } from "./commands/list.ts";
import { up } from "./commands/up.ts";
import { EXIT } from "./errors.ts";
import { endWithReader, runProgram } from "./run-program.ts";
import { VERSION } from "./version.ts";

const program = new Command("perok")
  .description("Deploys the web app of this folder, as .peroku.json says.")
  .usage("[noverify] up|down|list|logs")
  .version(VERSION)
  .helpCommand(false)
  .addHelpText(
    "after",
    `
noverify, before a command, accepts any certificate of the server.
.peroku.json holds "token" (or PEROKU_TOK), "peroku" (the server), "project" and "rule".

Examples:
  $ perok up
  $ perok noverify logs

Exit status: 0 done; 1 it failed, or was refused; 2 wrong usage; 130 interrupted.`,
  );

function given<T extends object>(command: Command): T & AppOptions {
  return { ...command.opts<T>(), program: "perok" };
}

program
  .command("up")
  .description("build and run the project, and show how it goes")
  .action((_options, command) => up(".", given(command)));
program
  .command("down")
  .description("stop and delete the project")
  .action((_options, command) => down(given(command)));
program
  .command("list")
  .description("list the projects and their rules")
  .action((_options, command) => list(given(command)));
program
  .command("logs")
  .description("follow what the project prints; Ctrl-C to exit")
  .option("--since <time>", "from then on, as 10m, 2h or 2026-01-31T12:00:00Z")
  .option("--tail <lines>", "the last lines only")
  .action((_options, command) => appLogs({ ...given(command), follow: true }));

let args = process.argv.slice(2);
if (args[0] === "noverify") {
  args = args.slice(1);
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";
}
endWithReader();
process.exitCode = await runProgram(program, args, {
  prefix: "",
  statusOf: (named) => (named === EXIT.usage ? named : EXIT.failed),
});
