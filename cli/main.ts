#!/usr/bin/env node
/** `railhead`: the command line. */
import { Command, Option } from "commander";
import { addAppCommands } from "./app-commands.ts";
import { runAgent } from "./commands/agent.ts";
import { actOnAgent, listAgents } from "./commands/agents.ts";
import { build } from "./commands/build.ts";
import { dev, prepare } from "./commands/dev.ts";
import { get } from "./commands/get.ts";
import { buildImage } from "./commands/image.ts";
import { login } from "./commands/login.ts";
import { cancel } from "./commands/logs.ts";
import { createToken, listTokens, revokeToken, SCOPES } from "./commands/token.ts";
import { version } from "./commands/version.ts";
import { endWithReader, type Manner, runProgram, told } from "./run-program.ts";
import { VERSION } from "./version.ts";

const TARGET = "{remote}/{owner}/{repo}/{GOOS}/{GOARCH}/{version}, or its URL";

const program = new Command("railhead")
  .description("Builds and hands out software: a Worker at the edge, agents on your Docker hosts.")
  .version(VERSION)
  .option("--url <url>", "address of the edge (RAILHEAD_URL, or railhead login)")
  .option(
    "--token-file <file>",
    "file that holds the token (else RAILHEAD_TOKEN, or railhead login)",
  )
  .option("--json", "print results as JSON")
  .helpCommand(false)
  .configureHelp({ showGlobalOptions: true })
  .showHelpAfterError("(railhead --help shows what there is)")
  .addHelpText(
    "after",
    `
Examples:
  $ railhead build github.com/owner/repo/linux/amd64/v1.0.0
  $ railhead get github.com/owner/repo/linux/amd64/latest
  $ railhead image build . -t registry.example/team/app:1.0
  $ railhead up
  $ railhead token create agent`,
  )
  .addHelpText(
    "afterAll",
    `
Exit status: 0 done; 1 the build failed, or this machine could not do its part (such as to write a file);
2 wrong usage; 3 refused by the edge; 4 the edge cannot be reached; 5 the git host does not answer the edge;
130 interrupted.
With --json an error is one JSON object on stderr: {"error": message, "code": the edge's word for it, or null}.`,
  );

const gitToken = () =>
  new Option(
    "--git-token-file <file>",
    "file that holds the git host's token, for private repositories (or RAILHEAD_GIT_TOKEN)",
  );

program
  .command("build")
  .description("build a target, follow it, and print the URL of what was made")
  .argument("<target>", TARGET)
  .option("--wait", "follow the build to its end", true)
  .option("--no-wait", "only ask for it, and print the build's id")
  .addOption(gitToken())
  .action((target, _options, command) => build(target, command.optsWithGlobals()));

const repeated = (value: string, all: string[]) => [...all, value];
program
  .command("image")
  .description("build Docker images")
  .command("build")
  .description(
    "send a folder as a build context, follow the build, and print the digest of what was pushed",
  )
  .argument("<folder>", "the build context, less what its .dockerignore names")
  .option(
    "-t, --tag <image>",
    "what to push it as: [registry/]namespace/name[:tag] (with --no-push, the folder's name)",
  )
  .option("-f, --file <file>", "the Dockerfile (<folder>/Dockerfile)")
  .option(
    "--build-arg <name=value>",
    "a build argument; may be repeated; shown with the build",
    repeated,
    [],
  )
  .option("--label <name=value>", "a label; may be repeated", repeated, [])
  .option(
    "--secret <id=…,src=…>",
    "a secret that RUN --mount=type=secret reads, from a file (src) or a variable (env); may be repeated",
    repeated,
    [],
  )
  .option("--target <stage>", "the stage to build")
  .option("--no-cache", "use no layer of an earlier build")
  .option(
    "--cache-from <image>",
    "an image whose layers may be used; may be repeated",
    repeated,
    [],
  )
  .option("--no-push", "do not push; with --output")
  .option("-o, --output <file>", "also download it, for docker load; - for standard output")
  .option("--no-wait", "only ask for it, and print the build's id")
  .addHelpText(
    "after",
    `
The registry's user and password are what docker login kept, or RAILHEAD_REGISTRY_USERNAME and
RAILHEAD_REGISTRY_PASSWORD.`,
  )
  .action((folder, _options, command) => buildImage(folder, command.optsWithGlobals()));

program
  .command("get")
  .description("download what was built; resumes where it was cut, and verifies the SHA-256")
  .argument("<target>", `${TARGET}; may end in /{file}`)
  .option("-o, --output <file>", "where to; - for standard output")
  .addOption(gitToken())
  .action((target, _options, command) => get(target, command.optsWithGlobals()));

program
  .command("cancel")
  .description("cancel a build")
  .argument("<build>", "id of the build")
  .addOption(gitToken())
  .action((id, _options, command) => cancel(id, command.optsWithGlobals()));

addAppCommands(program);

const token = program.command("token").description("make, list and revoke tokens");
token
  .command("create")
  .description("print a new token; for agents, the line to paste on their host")
  .addArgument(program.createArgument("<scope>", "what it may do").choices(SCOPES))
  .option("--name <name>", "what it is for")
  .option("--expires <time>", "when it ends: 12h, 30d (never)")
  .option("-o, --output <file>", "a new file for the token alone, readable by you alone")
  .action((scope, _options, command) => createToken(scope, command.optsWithGlobals()));
token
  .command("list")
  .description("list tokens, without the tokens themselves")
  .action((_options, command) => listTokens(command.optsWithGlobals()));
token
  .command("revoke")
  .description("make a token worthless")
  .argument("<id>", "id of the token, from railhead token list")
  .action((id, _options, command) => revokeToken(id, command.optsWithGlobals()));

const agents = program
  .command("agents")
  .description("list agents, and act on them")
  .action((_options, command) => listAgents(command.optsWithGlobals()));
for (const [action, what] of [
  ["cordon", "give it no new work"],
  ["uncordon", "give it work again"],
  ["drain", "let it finish what it runs, then end"],
  ["remove", "refuse it from now on"],
] as const)
  agents
    .command(action)
    .description(what)
    .argument("<name>", "name or id of the agent")
    .option("--reason <text>", "shown in the list of agents")
    .action((name, _options, command) => actOnAgent(action, name, command.optsWithGlobals()));

program
  .command("agent")
  .description("run the agent of this host: register, run, doctor (railhead agent --help)")
  .argument("[arguments...]")
  .action(async (args: string[]) => {
    process.exitCode = await runAgent(args);
  });

program
  .command("login")
  .description("keep the edge's address and a token; reads the token from the terminal or a pipe")
  .argument("[url]", "address of the edge")
  .action((url, _options, command) => login(url, command.optsWithGlobals()));

program
  .command("dev")
  .description("run all of Railhead on this machine (npm start)")
  .option("--port <port>", "port of the Worker (8787; with --demo any free one)")
  .option("--state <folder>", "where state, logs and secrets are kept (.railhead)")
  .option("--agents <count>", "agents to run here", "1")
  .option("--remote <host=url>", "a git host besides the usual ones; may be repeated", repeated, [])
  .option("--demo", "show the main job from end to end, then end")
  .action((options) => dev(options));

program
  .command("prepare")
  .description("make the Docker engine and the builder images ready on this machine")
  .action(() => prepare());

program
  .command("version")
  .description("print the versions of this command and of the edge")
  .action((_options, command) => version(command.optsWithGlobals()));

endWithReader();
const args = process.argv.slice(2);
const manner: Manner = { prefix: "railhead: ", statusOf: (named) => named };
process.exitCode =
  // The agent has options of its own, and some are called like ours.
  args[0] === "agent"
    ? await told(() => runAgent(args.slice(1)), { name: program.name(), ...manner })
    : await runProgram(program, args, manner);
