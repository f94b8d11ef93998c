/** Values of the operator's settings: as the file has them, or as text in the environment. Each says what it must be. */
import * as z from "zod";
import { mailSenderSchema } from "../shared/notice.ts";
import { labelsSchema } from "../shared/protocol.ts";
import { erlSchema } from "../shared/recipes/erlang.ts";
import { parseRemote } from "../shared/remotes.ts";
import { parseSize } from "./sizes.ts";

export function number(min: number, max: number) {
  const message = `must be a number from ${min} to ${max}`;
  return z.preprocess(
    (value) => (typeof value === "string" && /^\d+(?:\.\d+)?$/.test(value) ? Number(value) : value),
    z.number(message).min(min, message).max(max, message),
  );
}

export function whole(min: number, max: number) {
  return number(min, max).refine(Number.isInteger, "must be a whole number");
}

export function size(min: number) {
  const message = 'must be a size such as "512m" or "4g"';
  return z.preprocess(
    (value) => (typeof value === "string" ? parseSize(value) : value),
    z.int(message).min(min, `${message}, at least ${min} bytes`),
  );
}

/** `true` or `false`, as text in the environment. */
export const toggle = z.preprocess(
  (value) => (value === "true" ? true : value === "false" ? false : value),
  z.boolean("must be true or false"),
);

/** An array in the file; words between blanks or commas in the environment. */
export const words = z.preprocess(
  (value) => (typeof value === "string" ? value.split(/[\s,]+/).filter(Boolean) : value),
  z.array(z.string("must be a list of words"), "must be a list of words"),
);

/** A table in the file; `k=v,k=v` in the environment and as an option. */
export const labels = z.preprocess(readPairs, labelsSchema);

function readPairs(value: unknown): unknown {
  if (typeof value !== "string") return value;
  const pairs = value.split(/[\s,]+/).filter(Boolean);
  return Object.fromEntries(
    pairs.map((pair) => [pair.split("=")[0], pair.split("=").slice(1).join("=")]),
  );
}

export const word = z.string("must be text").max(512).regex(/^\S*$/, "must not hold blanks");

/** Builder images by OTP major: a table in the file, `27=erlang:27,25=erlang:25` in the environment. */
export const otpImages = z.preprocess(
  readPairs,
  z.record(erlSchema, word.min(1), "must name an image for each OTP release, such as 27=erlang:27"),
);

export const smtpUrl = word.refine(
  (text) => text === "" || (/^smtps?:\/\/[^/]/.test(text) && URL.canParse(text)),
  'must be a URL such as "smtps://user:password@relay.example:465"',
);
export const sender = z
  .string("must be text")
  .refine(
    (text) => text === "" || mailSenderSchema.safeParse(text).success,
    'must be an address, or "Name <address>"',
  );

/** A network of the engine that has addresses of its own; empty for none. */
export const networkName = word.refine(
  (name) => !["none", "host", "bridge", "default"].includes(name) && !name.includes(":"),
  "must be a network that was made with `docker network create`",
);

/** A base URL that paths are appended to. */
export const hexUrl = word
  .regex(
    /^https?:\/\/[A-Za-z0-9.:[\]-]+(?:\/[A-Za-z0-9._~%-]+)*\/?$/,
    "must be a plain http or https URL, without credentials",
  )
  .transform((url) => url.replace(/\/$/, ""));

export const remotes = words.transform((entries, context) => {
  const bases: Record<string, string> = {};
  for (const entry of entries) {
    const remote = parseRemote(entry);
    if ("error" in remote) {
      context.addIssue({ code: "custom", message: remote.error });
      return z.NEVER;
    }
    bases[remote.host] = remote.base;
  }
  return bases;
});
