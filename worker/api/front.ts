/** `/` for whoever reads no HTML: what this is, and where to read on. */
import { createRoute } from "@hono/zod-openapi";
import * as z from "zod";
import type { App } from "../app.ts";
import { VERSION } from "../version.ts";

const route = createRoute({
  method: "get",
  path: "/",
  summary: "What this is",
  responses: {
    200: {
      description: "One line with the version, one with what to send. Browsers get a page.",
      content: { "text/plain": { schema: z.string() } },
    },
  },
});

export function frontRoutes(app: App): void {
  app.openapi(route, (c) => {
    const { origin } = new URL(c.req.url);
    const help = `Build: curl -X POST ${origin}/github.com/owner/repo/linux/amd64/v1.0.0; all of the API: ${origin}/openapi.json`;
    const headers = { "cache-control": "no-cache", vary: "accept" };
    return c.text(`railhead ${VERSION}\n${help}\n`, 200, headers);
  });
}
