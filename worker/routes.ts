/** All faces on one App. The Go face comes last: its paths begin with whatever holds a dot. */
import { adminRoutes } from "./api/admin.ts";
import { agentRoutes } from "./api/agents.ts";
import { appRoutes } from "./api/apps.ts";
import { buildFileRoutes } from "./api/build-files.ts";
import { buildRoutes } from "./api/builds.ts";
import { erlangRoutes } from "./api/erlang.ts";
import { frontRoutes } from "./api/front.ts";
import { goRoutes } from "./api/go.ts";
import { imageRoutes } from "./api/images.ts";
import { installRoutes } from "./api/install.ts";
import { openapiRoutes } from "./api/openapi.ts";
import { uploadRoutes } from "./api/uploads.ts";
import { webhookRoutes } from "./api/webhooks.ts";
import { type App, createApp } from "./app.ts";

export function createRoutes(): App {
  const app = createApp();
  frontRoutes(app);
  adminRoutes(app);
  agentRoutes(app);
  appRoutes(app);
  buildRoutes(app);
  buildFileRoutes(app);
  erlangRoutes(app);
  imageRoutes(app);
  uploadRoutes(app);
  webhookRoutes(app);
  installRoutes(app);
  openapiRoutes(app);
  goRoutes(app);
  return app;
}
