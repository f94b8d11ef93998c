/** The `erlang` recipe on the agent: from a target to a package, or to the runtime system of an OTP release. */
import { type ErlangTarget, erlangRepository } from "../../shared/recipes/erlang.ts";
import { type Recipe, RecipeFailure } from "./contracts.ts";
import { ErlangBuild } from "./erlang-build.ts";
import type { ErlangSettings } from "./erlang-contracts.ts";
import { makeErts } from "./erlang-erts.ts";
import { majors, otpLabel } from "./erlang-otp.ts";

export function erlangRecipe(settings: ErlangSettings): Recipe<ErlangTarget> {
  const { images } = settings;
  return {
    name: "erlang",
    images: () => [...new Set(Object.values(images))],
    labels: () => otpLabel(images),
    refuses: (target) => refusal(target, settings),
    make: async (context) => {
      const { asked, erl } = context.target;
      if (asked.kind === "package") return new ErlangBuild(context, settings, asked).make();
      const image = images[erl ?? majors(images).at(-1) ?? ""];
      if (image === undefined)
        throw new RecipeFailure("agent_refused", `This agent has no Erlang/OTP ${erl}.`);
      return { made: [await makeErts(context, image)], repositories: [] };
    },
  };
}

function refusal(target: ErlangTarget, { images, remotes }: ErlangSettings): string | null {
  const { asked, erl } = target;
  if (asked.kind === "package" && !Object.hasOwn(remotes, asked.remote))
    return `this agent does not build ${erlangRepository(target)}: its operator allows ${
      Object.keys(remotes).join(", ") || "no git host at all"
    }`;
  if (erl !== null && !Object.hasOwn(images, erl))
    return `this agent has no Erlang/OTP ${erl}, but ${majors(images).join(", ")}`;
  return null;
}
