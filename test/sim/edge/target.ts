/** As worker/objects/target.ts. */
import type { BuildRpc, TargetRpc } from "../../../worker/core/contracts.ts";
import { publishedBuild } from "../../../worker/core/manifest.ts";
import { TargetCore } from "../../../worker/core/target.ts";
import type { Edge } from "./edge.ts";
import type { Context } from "./object.ts";
import { PlainShell, portsOf } from "./shells.ts";

export class TargetShell extends PlainShell implements TargetRpc {
  readonly #core: TargetCore;

  constructor(context: Context, edge: Edge) {
    super();
    const { sql, random } = portsOf(context);
    this.#core = new TargetCore({
      sql,
      random,
      build: (id): BuildRpc => edge.build(context, id),
      published: (key) => publishedBuild(edge.bucket.storeOf(context), key),
    });
  }

  request(...args: Parameters<TargetRpc["request"]>) {
    return this.#core.request(...args);
  }

  current() {
    return this.#core.current();
  }
}
