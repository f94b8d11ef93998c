import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { registerHooks } from "node:module";
import { after, before, describe, test } from "node:test";
import { type Edge, problemOf, startEdge } from "./edge.ts";

type Schema = { format?: string; properties?: Record<string, object> };
type Operation = {
  responses: Record<string, unknown>;
  summary?: string;
  security?: object[];
  parameters?: { name: string }[];
  requestBody?: { content: Record<string, { schema: Schema }> };
};
type Document = {
  openapi: string;
  info: { description: string };
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, unknown>; securitySchemes: Record<string, unknown> };
};

type Route = { method: string; path: string };

/** A file of the Worker, by its name at run time: the Worker's types are another project's. */
async function load<T>(file: string): Promise<T> {
  return import(new URL(`../../worker/${file}`, import.meta.url).href);
}

const METHODS = ["get", "head", "post", "put", "delete", "patch"];

describe("the API's own description", { timeout: 120_000 }, () => {
  let edge: Edge;
  let document: Document;

  before(async () => {
    edge = await startEdge();
    document = (await (await edge.call("/openapi.json")).json()) as Document;
  });
  after(() => edge.close());

  test("is OpenAPI 3.1, and every operation says what it answers", () => {
    assert.equal(document.openapi, "3.1.0");
    const operations = Object.entries(document.paths).flatMap(([path, item]) =>
      METHODS.filter((method) => method in item).map((method) => ({
        name: `${method} ${path}`,
        operation: item[method] as Operation,
      })),
    );
    assert.ok(operations.length >= 20, `${operations.length}`);
    for (const { name, operation } of operations) {
      assert.ok(operation.summary, name);
      assert.ok(Object.keys(operation.responses).length > 0, name);
    }
  });

  test("no route is undocumented", async () => {
    // The Worker's bundler takes .txt files as text; here we do.
    const hooks = registerHooks({
      load: (url, context, next) =>
        url.endsWith(".txt")
          ? {
              format: "module",
              shortCircuit: true,
              source: `export default ${JSON.stringify(readFileSync(new URL(url), "utf8"))}`,
            }
          : next(url, context),
    });
    const { createRoutes } = await load<{ createRoutes(): { routes: Route[] } }>("routes.ts");
    const { GO_ROUTE } = await load<{ GO_ROUTE: string }>("api/go.ts");
    const { INSTALL_ROUTE } = await load<{ INSTALL_ROUTE: string }>("api/install.ts");
    hooks.deregister();
    const spelled: Record<string, string> = {
      [GO_ROUTE]: "/{remote}/{owner}/{repo}/{GOOS}/{GOARCH}/{version}",
      [INSTALL_ROUTE]: "/install/{remote}/{owner}/{repo}",
    };
    const routes = createRoutes().routes.filter(({ method }) => method !== "ALL");
    assert.ok(routes.length >= 20, `${routes.length}`);
    for (const { method, path } of routes) {
      // A slash at the end is let pass, and not worth a line of its own.
      const documented =
        spelled[path] ?? path.replaceAll(/:(\w+)/g, "{$1}").replace(/(.)\/$/, "$1");
      const item = document.paths[documented];
      assert.ok(item?.[method.toLowerCase()], `${method} ${path} is not documented`);
    }
  });

  test("what takes a body says which, and what takes a token says how one is refused", () => {
    const bodies: string[] = [],
      refusals: string[] = [];
    for (const [path, item] of Object.entries(document.paths))
      for (const method of METHODS) {
        const operation = item[method];
        if (operation === undefined) continue;
        const name = `${method} ${path}`;
        if (["post", "put", "patch"].includes(method) && operation.requestBody === undefined)
          bodies.push(name);
        if (
          (operation.security ?? []).length > 0 &&
          !("401" in operation.responses || "403" in operation.responses)
        )
          refusals.push(name);
      }
    // A Go path says all there is to say.
    assert.deepEqual(bodies, ["post /{remote}/{owner}/{repo}/{GOOS}/{GOARCH}/{version}"]);
    assert.deepEqual(refusals, []);
  });

  test("a deploy may be sent in each way that it describes, with the fields that it describes", () => {
    const run = document.paths["/run"]?.post;
    const names = ["project", "rule", "port", "replicas", "no_cache"];
    const inQuery = run?.parameters?.map(({ name }) => name) ?? [];
    assert.ok(
      names.every((name) => inQuery.includes(name)),
      inQuery.join(),
    );
    const content = run?.requestBody?.content ?? {};
    for (const type of ["json", "x-www-form-urlencoded"])
      for (const name of [...names, "data"])
        assert.ok(content[`application/${type}`]?.schema.properties?.[name], `${type} ${name}`);
    for (const name of [...names, "data"])
      assert.ok(content["multipart/form-data"]?.schema.properties?.[name], name);
    for (const type of ["x-tar", "gzip"])
      assert.equal(content[`application/${type}`]?.schema.format, "binary");
    for (const status of ["200", "400", "403", "413", "429"]) assert.ok(run?.responses[status]);
  });

  test("it begins with what all this is for", () => {
    for (const word of ["Go", "Erlang", "Docker images", "web apps", "coon", "tutum", "peroku"])
      assert.ok(document.info.description.includes(word), word);
  });

  test("every reference leads somewhere", () => {
    const text = JSON.stringify(document);
    for (const [, name] of text.matchAll(/"#\/components\/schemas\/([^"]+)"/g))
      assert.ok(name !== undefined && name in document.components.schemas, name);
    for (const [, names] of text.matchAll(/"security":\[([^\]]*)\]/g))
      for (const [, name] of (names ?? "").matchAll(/"([a-z]+)":/g))
        assert.ok(name !== undefined && name in document.components.securitySchemes, name);
  });

  test("the routes that clients know are in it", () => {
    const go = "/{remote}/{owner}/{repo}/{GOOS}/{GOARCH}/{version}";
    for (const [path, methods] of [
      [go, ["get", "head", "post"]],
      [`${go}/{file}`, ["get", "head"]],
      ["/builds/{id}", ["get", "delete"]],
      ["/builds/{id}/logs", ["get"]],
      ["/install/{remote}/{owner}/{repo}", ["get"]],
      ["/agent/uploads/{upload}/parts/{part}", ["put"]],
      ["/agent/builds/{id}/attempts/{attempt}", ["get"]],
      ["/openapi.json", ["get"]],
      ["/healthz", ["get"]],
      ["/readyz", ["get"]],
      ["/version", ["get"]],
      ["/metrics", ["get"]],
      ["/api/agents", ["get"]],
    ] as const)
      for (const method of methods)
        assert.ok(document.paths[path]?.[method], `${method} ${path} is not documented`);
  });

  test("a method that is not documented is refused, and Allow names those that are", async () => {
    for (const [template, item] of Object.entries(document.paths)) {
      const path = template
        .replace("{remote}", "git.example")
        .replace("{GOOS}/{GOARCH}", "linux/amd64")
        .replace("{id}", "0".repeat(32))
        .replaceAll(/\{\w+\}/g, "x");
      for (const method of METHODS) {
        if (method in item || (method === "head" && "get" in item)) continue;
        const response = await edge.call(path, { method: method.toUpperCase() });
        assert.equal(response.status, 405, `${method} ${path}`);
        const allow = (response.headers.get("allow") ?? "").toLowerCase().split(", ");
        const documented = METHODS.filter((name) => name in item);
        for (const name of documented) assert.ok(allow.includes(name), `${name} ${path}: ${allow}`);
      }
    }
  });

  test("an unknown path is 404 and points here", async () => {
    for (const path of ["/nope", "/api/nope", "/agent/nope", "/favicon.ico"]) {
      const problem = await problemOf(await edge.call(path));
      assert.equal(problem.status, 404, path);
      assert.match(problem.detail, /openapi\.json/);
    }
  });
});

describe("a Worker that is not set up", { timeout: 120_000 }, () => {
  test("refuses to serve, names the setting, and still answers /healthz", async () => {
    const edge = await startEdge({ vars: { RAILHEAD_REMOTES: "nonsense" } });
    try {
      const response = await edge.call("/github.com/o/r/linux/amd64/v1", { method: "POST" });
      assert.equal(response.status, 503);
      const problem = await problemOf(response);
      assert.equal(problem.code, "not_ready");
      assert.match(problem.detail, /RAILHEAD_REMOTES .*"nonsense"/);
      assert.equal((await edge.call("/healthz")).status, 200);
    } finally {
      await edge.close();
    }
  });
});
