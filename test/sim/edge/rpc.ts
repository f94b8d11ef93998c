/** Calls between objects, and from the Worker to them: they take time, and questions and answers get lost. */
import { type Faults, Lost } from "../faults.ts";
import type { Kernel, Life } from "../kernel.ts";
import type { SeededRandom } from "../random.ts";
import { type DurableObject, describe, type Shell } from "./object.ts";

const TAKES_MS = { least: 0.2, most: 6 };
const SLOW_MS = { least: 50, most: 4_000 };

/** Who calls: an object's instance, or the Worker for somebody outside. */
export type Caller = { readonly life: Life; gate(send: () => void): void };

export type RpcParts = {
  kernel: Kernel;
  random: SeededRandom;
  faults: Faults;
  wrong: (what: string) => void;
};

/** The methods of `to` as `from` calls them; `to` may name methods that are the shell's own. */
export function stubOf<T extends object, S extends Shell & T = Shell & T>(
  parts: RpcParts,
  from: Caller,
  to: () => DurableObject<S>,
): T {
  return new Proxy({} as T, {
    get: (_, method) => {
      const name = method as keyof T & string;
      return (...args: unknown[]) => call(parts, from, to(), name, args);
    },
  });
}

function call<S extends Shell>(
  { kernel, random, faults, wrong }: RpcParts,
  from: Caller,
  to: DurableObject<S>,
  method: string,
  args: unknown[],
): Promise<unknown> {
  const takes = () => {
    const { least, most } = faults.strikes("call: slow") ? SLOW_MS : TAKES_MS;
    return random.between(least, most);
  };
  const sent = structuredClone(args);
  return new Promise((resolve, reject) => {
    const lose = (what: string) =>
      from.life.after(takes(), what, () => reject(new Lost(`${to.name}.${method}: ${what}`)));
    const arrive = () => {
      if (faults.strikes("object: dies at a call")) {
        to.die(`it died before ${method}`);
        return lose("the object was reset");
      }
      const work = to.invoke(`${method} from ${from.life.name}`, (shell) => {
        const body = (shell as unknown as Record<string, (...args: unknown[]) => unknown>)[method];
        if (body === undefined) throw new Error(`${to.name} has no ${method}`);
        return body.apply(shell, sent);
      });
      work.then(
        (answer) => {
          if (faults.strikes("call: answer lost")) return lose("the answer was lost");
          const received = structuredClone(answer);
          from.life.after(takes(), `${to.name}.${method} answers`, () => resolve(received));
        },
        (error) => {
          if (!(error instanceof Lost)) wrong(`${to.name}.${method} throws: ${describe(error)}`);
          lose(error instanceof Error ? error.message : String(error));
        },
      );
    };
    from.gate(() => {
      if (faults.strikes("call: question lost")) lose("the question was lost");
      else kernel.after(takes(), `${method} to ${to.name}`, arrive);
    });
  });
}
