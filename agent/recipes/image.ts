/** The `image` recipe on the agent: from a context to an image in a registry, a tarball of it, or both. */
import {
  BUILDKIT_LABEL,
  DOCKER_HUB,
  type ImageTarget,
  imageRepository,
  parseImageName,
} from "../../shared/recipes/image.ts";
import type { Recipe } from "./contracts.ts";
import { ImageBuild } from "./image-build.ts";
import type { ImageRecipeSettings } from "./image-settings.ts";

export function imageRecipe(settings: ImageRecipeSettings): Recipe<ImageTarget> {
  return {
    name: "image",
    images: () => [settings.git_image],
    refuses: (target) => refusal(target, settings),
    labels: () => (settings.builder === "buildkit" ? BUILDKIT_LABEL : {}),
    make: (context) => new ImageBuild(context, settings).make(),
    async idle({ docker }) {
      await docker.images.trim(settings.cache_bytes);
      if (settings.builder === "buildkit") await docker.images.pruneCache(settings.cache_bytes);
    },
  };
}

function refusal(
  target: ImageTarget,
  { builder, remotes, registries }: ImageRecipeSettings,
): string | null {
  const { source, image, push, secret_ids = [] } = target;
  if (secret_ids.length > 0 && builder === "classic")
    return "this agent has no build secrets: it builds with the classic builder (image.builder)";
  if (source.kind === "git" && !Object.hasOwn(remotes, source.remote))
    return `this agent does not build ${imageRepository(target)}: its operator allows ${
      Object.keys(remotes).join(", ") || "no git host at all"
    }`;
  const registry = parseImageName(image)?.registry ?? DOCKER_HUB;
  if (push && registries.length > 0 && !registries.includes(registry))
    return `this agent does not push to ${registry}: its operator allows ${registries.join(", ")}`;
  return null;
}
