/** Entry of the Worker: its routes, and the classes of its Durable Objects. */
import { createSite } from "./api/web.tsx";
import { createRoutes } from "./routes.ts";

export { Build } from "./objects/build.ts";
export { Catalog } from "./objects/catalog.ts";
export { Pool } from "./objects/pool.ts";
export { Target } from "./objects/target.ts";

export default createSite(createRoutes());
