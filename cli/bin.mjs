#!/usr/bin/env node
import { bootstrap } from "./bootstrap.mjs";

process.exitCode = await bootstrap(process.argv.slice(2));
