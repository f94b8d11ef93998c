/** Entry of the Worker: the faces, and the classes of the Durable Objects. */
import { adminRoutes } from "./api/admin.ts";
import { agentRoutes } from "./api/agents.ts";
import { buildRoutes } from "./api/builds.ts";
import { goRoutes } from "./api/go.ts";
import { installRoutes } from "./api/install.ts";
import { openapiRoutes } from "./api/openapi.ts";
import { uploadRoutes } from "./api/uploads.ts";
import { createApp } from "./app.ts";

export { Build } from "./objects/build.ts";
export { Catalog } from "./objects/catalog.ts";
export { Pool } from "./objects/pool.ts";
export { Target } from "./objects/target.ts";

const app = createApp();
adminRoutes(app);
agentRoutes(app);
buildRoutes(app);
uploadRoutes(app);
installRoutes(app);
openapiRoutes(app);
goRoutes(app);

export default app;
