/** The commands for web apps, as `railhead` has them. */
import type { Command } from "commander";
import type { AppOptions } from "./app-settings.ts";
import { appLogs } from "./commands/app-logs.ts";
import { down } from "./commands/down.ts";
import { listEnv, setEnv, unsetEnv } from "./commands/env.ts";
import { list, listDeployments } from "./commands/list.ts";
import { isBuild, logs } from "./commands/logs.ts";
import { open } from "./commands/open.ts";
import { rollback } from "./commands/rollback.ts";
import { up } from "./commands/up.ts";
import { PROJECT_FILE } from "./project-file.ts";

/** Options of all of them, with railhead's manner. */
function given<T extends object>(command: Command): T & AppOptions {
  return { ...command.optsWithGlobals<T>(), program: "railhead" };
}

const whose = (command: Command) =>
  command.option("--project <name>", `the project ("project" in ${PROJECT_FILE})`);

export function addAppCommands(program: Command): void {
  whose(program.command("up"))
    .description("build and run a folder's project, follow the deploy, and print its URL")
    .argument("[folder]", "the project, less what its .dockerignore names", ".")
    .option("--rule <rule>", 'which requests it answers, as Traefik writes it ("rule" in the file)')
    .option("--no-cache", "take no layer of earlier versions, and no image of the same files")
    .addHelpText(
      "after",
      `
${PROJECT_FILE} in the folder says what and where to; options count before it:
  { "peroku": "railhead.example", "token": "…", "project": "shop", "rule": "Host:shop.example" }
and, where the defaults do not do: "port" (80), "replicas" (1), "memory" ("512m"), "cpus",
"health": {"path", "seconds"}, "dockerfile". The token may be in PEROKU_TOK instead.

Examples:
  $ railhead up
  $ railhead up app --project shop --rule 'Host(\`shop.example\`) && PathPrefix(\`/api\`)'`,
    )
    .action((folder, _options, command) => up(folder, given(command)));

  whose(program.command("down"))
    .description("stop and delete a project")
    .argument("[project]", `its name (the project of ${PROJECT_FILE})`)
    .action((project: string | undefined, _options, command) =>
      down(ofProject(project, given(command))),
    );

  program
    .command("list")
    .description("list the projects and how they stand, or the deployments of one")
    .argument("[project]")
    .action((project: string | undefined, _options, command) =>
      project === undefined ? list(given(command)) : listDeployments(project, given(command)),
    );

  whose(program.command("logs"))
    .description("print what an app prints, or a build's log")
    .argument("[of]", `a project, or the id of a build (the project of ${PROJECT_FILE})`)
    .option("-f, --follow", "stay: until a build has ended; with an app for ever")
    .option("--since <time>", "of an app: from then on, as 10m, 2h or 2026-01-31T12:00:00Z")
    .option("--tail <lines>", "of an app: the last lines of each replica")
    .option(
      "--git-token-file <file>",
      "of a private build: file that holds the git host's token (or RAILHEAD_GIT_TOKEN)",
    )
    .action((of: string | undefined, _options, command) => {
      if (of !== undefined && isBuild(of)) return logs(of, command.optsWithGlobals());
      return appLogs(ofProject(of, given(command)));
    });

  whose(program.command("rollback"))
    .description("deploy an earlier version again, and follow it")
    .argument("[generation]", "which one (the one that served before)")
    .action((generation, _options, command) => rollback(generation, given(command)));

  const env = program
    .command("env")
    .description("a project's variables, for its next deploys; values are never shown");
  whose(env.command("list"))
    .description("list their names")
    .action((_options, command) => listEnv(given(command)));
  whose(env.command("set"))
    .description("set variables")
    .argument(
      "<name=value...>",
      "NAME=value; NAME=@file reads the value from a file, NAME=@- from standard input",
    )
    .option("--deploy", "deploy the present version with them, and follow it")
    .addHelpText(
      "after",
      `
Examples:
  $ railhead env set MODE=production KEY=@key.pem
  $ pass show shop/database | railhead env set DATABASE_URL=@- --deploy`,
    )
    .action((pairs, _options, command) => setEnv(pairs, given(command)));
  whose(env.command("unset"))
    .description("remove variables")
    .argument("<name...>")
    .option("--deploy", "deploy the present version without them, and follow it")
    .action((names, _options, command) => unsetEnv(names, given(command)));

  whose(program.command("open"))
    .description("open an app in the browser, and print its URL")
    .argument("[project]", `its name (the project of ${PROJECT_FILE})`)
    .action((project: string | undefined, _options, command) =>
      open(ofProject(project, given(command))),
    );
}

/** A project that was named outright counts before all that says otherwise. */
function ofProject(project: string | undefined, options: AppOptions): AppOptions {
  return project === undefined ? options : { ...options, project };
}
