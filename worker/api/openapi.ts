/** /openapi.json: the API's own description, from the schemas that validate. */
import { createRoute } from "@hono/zod-openapi";
import * as z from "zod";
import type { App } from "../app.ts";
import { VERSION } from "../version.ts";
import { json } from "./documents.ts";

const route = createRoute({
  method: "get",
  path: "/openapi.json",
  summary: "This document",
  responses: { 200: json("OpenAPI 3.1.", z.record(z.string(), z.unknown())) },
});

export function openapiRoutes(app: App): void {
  const { openAPIRegistry: registry } = app;
  const bearer = { type: "http", scheme: "bearer" } as const;
  registry.registerComponent("securitySchemes", "token", {
    ...bearer,
    description: "A token of Railhead (rh_…), here or in Railhead-Token.",
  });
  registry.registerComponent("securitySchemes", "git", {
    type: "apiKey",
    in: "header",
    name: "Authorization",
    description:
      "A token of the git host, for private repositories: `token T`, `Bearer T` or Basic.",
  });
  registry.registerComponent("securitySchemes", "lease", {
    ...bearer,
    description: "The lease of one attempt, from its assign frame.",
  });
  registry.registerComponent("securitySchemes", "ticket", {
    ...bearer,
    description: "The ticket for one part, from the attempt's socket.",
  });
  app.openapi(route, (c) => {
    const document = app.getOpenAPI31Document({
      openapi: "3.1.0",
      info: {
        title: "Railhead",
        version: VERSION,
        license: { name: "MIT" },
        description:
          "Builds Go programs, Erlang packages and Docker images on your own Docker hosts and hands them out, and runs web " +
          "apps there and serves them. Errors are RFC 9457 problems with a stable `code`; curl, and whoever accepts " +
          "text/plain, gets the sentence alone. Routes that clients of another server know, coon's, tutum-builder's and " +
          "peroku's, answer in its shapes.",
      },
      servers: [{ url: new URL(c.req.url).origin }],
    });
    c.header("cache-control", "public, max-age=300");
    return c.json({ ...document }, 200);
  });
}
