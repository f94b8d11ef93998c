/** `/` for whoever reads no HTML (spec apps.md, "Server"): the version in peroku's words, what this is, where to read on. */
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
      description:
        "One line with the version, as peroku says it, one with what this is and what to send. Browsers get a page.",
      content: { "text/plain": { schema: z.string() } },
    },
  },
});

export function frontRoutes(app: App): void {
  app.openapi(route, (c) => {
    const { origin } = new URL(c.req.url);
    const help = `This is Railhead, which answers as peroku does, too. Build: curl -X POST ${origin}/github.com/owner/repo/linux/amd64/v1.0.0; all of the API: ${origin}/openapi.json`;
    const headers = { "cache-control": "no-cache", vary: "accept" };
    return c.text(`peroku ${VERSION}\n${help}\n`, 200, headers);
  });
}
