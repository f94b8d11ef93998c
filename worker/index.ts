/** Entry of the Worker: its routes, and the classes of its Durable Objects. */
import { createSite } from "./api/web.tsx";
import { withApps } from "./ingress.ts";
import { createRoutes } from "./routes.ts";

export { App } from "./objects/app.ts";
export { Build } from "./objects/build.ts";
export { Catalog } from "./objects/catalog.ts";
export { Pool } from "./objects/pool.ts";
export { Routes } from "./objects/routes.ts";
export { Target } from "./objects/target.ts";

export default withApps(createSite(createRoutes()));
