/** What hono's context carries in every handler. */
export type AppEnv = { Bindings: Env };
