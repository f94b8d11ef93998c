import { fileURLToPath } from "node:url";
import { defineConfig } from "tsup";

const unused = fileURLToPath(new URL("./agent/unused.cjs", import.meta.url));

/** The agent and the command line, each as one file that needs Node and nothing else. */
export default defineConfig({
  entry: { agent: "agent/main.ts", cli: "cli/main.ts", perok: "cli/perok.ts" },
  format: "esm",
  platform: "node",
  target: "node22",
  splitting: false,
  minify: true,
  noExternal: [/.*/],
  banner: {
    // dockerode and ws are CommonJS: their require() needs a real one.
    js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);',
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
