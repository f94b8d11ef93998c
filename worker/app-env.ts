/** What hono's context carries in every handler. */
export type AppEnv = {
  Bindings: Env;
  /** `typed`: what somebody wrote into the form that adds builds. */
  Variables: { typed?: { repository: string; recipe: string } };
};
