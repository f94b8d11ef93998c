#!/usr/bin/env node
import { bootstrap } from "./bootstrap.mjs";

process.exitCode = await bootstrap(["--node", "cli/perok.ts", ...process.argv.slice(2)]);
