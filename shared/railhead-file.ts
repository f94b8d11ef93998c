/**
 * `.railhead.json`, at the top of a repository: what is built of each new tag.
 *
 *     {"builds": ["linux/amd64", {"platform": "linux/arm64", "target": "dist"}, "erlang"]}
 */
import * as z from "zod";
import { erlSchema, followSchema } from "./recipes/erlang.ts";
import { goTargetSchema } from "./recipes/go.ts";
import { GO_PLATFORMS } from "./recipes/go-platforms.ts";
import { refusedMember } from "./refused-member.ts";

export const RAILHEAD_FILE = ".railhead.json";
/** Builds that one tag may start. */
const BUILDS_PER_TAG = 32;

const platform = z.enum(GO_PLATFORMS);
const halves = z.tuple([followSchema.shape.namespace, followSchema.shape.name]);
const fullName = z.string().refine((text) => halves.safeParse(text.split("/")).success);
const goSchema = z
  .strictObject({ platform, target: goTargetSchema.shape.make.unwrap().optional() })
  .transform(({ platform, target = null }) => goWish(platform, target));
const erlangSchema = z
  .strictObject({ erlang: erlSchema, full_name: fullName.optional() })
  .transform(({ erlang, full_name }) => erlangWish(erlang, full_name ?? null));

const buildSchema = z.union([
  platform.transform((text) => goWish(text, null)),
  z.literal("erlang").transform(() => erlangWish(null, null)),
  goSchema,
  erlangSchema,
]);
const fileSchema = z.object({ builds: z.array(buildSchema).max(BUILDS_PER_TAG) });

/** One thing to be built of a tag. */
export type Wish =
  | { recipe: "go"; goos: string; goarch: string; make: string | null }
  /** `full_name` null: the repository's own. `erl` null: what the package's own settings name. */
  | { recipe: "erlang"; full_name: string | null; erl: string | null };

function goWish(platform: string, make: string | null): Wish {
  const [goos = "", goarch = ""] = platform.split("/");
  return { recipe: "go", goos, goarch, make };
}

function erlangWish(erl: string | null, full_name: string | null): Wish {
  return { recipe: "erlang", full_name, erl };
}

/** In the words of the file. */
export function describeWish(wish: Wish): string {
  if (wish.recipe === "go")
    return `${wish.goos}/${wish.goarch}${wish.make === null ? "" : ` (make ${wish.make})`}`;
  const name = wish.full_name === null ? "" : ` ${wish.full_name}`;
  return `erlang${name}${wish.erl === null ? "" : ` for Erlang/OTP ${wish.erl}`}`;
}

/** What the text of such a file lists, or why it cannot be read. */
export function parseRailheadFile(text: string): { wishes: Wish[] } | { error: string } {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return { error: "it is no JSON" };
  }
  const parsed = fileSchema.safeParse(json);
  if (parsed.success) return { wishes: parsed.data.builds };
  const issue = parsed.error.issues[0];
  const at = issue?.path.join(".") ?? "";
  if (issue?.code === "invalid_union")
    return {
      error: `${at} is neither a platform such as "linux/amd64", {"platform": …, "target": …}, "erlang" nor {"erlang": "27", "full_name": "namespace/name"}`,
    };
  return { error: refusedMember(parsed.error).text };
}
