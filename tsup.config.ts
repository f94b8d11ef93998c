import { fileURLToPath } from "node:url";
import { defineConfig } from "tsup";

/** ECMAScript 2024, which Node.js 20 lacks. */
const WITH_RESOLVERS =
  "Promise.withResolvers ??= function () { let resolve, reject; const promise = new this((yes, no) => { resolve = yes; reject = no; }); return { promise, resolve, reject }; };";

const unused = fileURLToPath(new URL("./agent/unused.cjs", import.meta.url));

/** The agent and the command line, each as one file that needs Node and nothing else. */
export default defineConfig({
  entry: { agent: "agent/main.ts", cli: "cli/main.ts", perok: "cli/perok.ts" },
  format: "esm",
  platform: "node",
  target: "node20",
  splitting: false,
  minify: true,
  noExternal: [/.*/],
  banner: {
    // dockerode and ws are CommonJS: their require() needs a real one.
    js: `import { createRequire } from "node:module"; const require = createRequire(import.meta.url); ${WITH_RESOLVERS}`,
  },
  esbuildOptions(options) {
    // Native code and 800 KB, reachable only through what unused.cjs names.
    options.alias = {
      ssh2: unused,
      "@grpc/grpc-js": unused,
      "@grpc/proto-loader": unused,
      protobufjs: unused,
    };
  },
});
