import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  erlangTargetSchema,
  FOLLOW_BUILDS,
  FOLLOW_DEPTH,
  followSchema,
} from "../../shared/recipes/erlang.ts";
import { chooseOtp, fetchImage, followed, otpLabel } from "./erlang-otp.ts";

const IMAGES = { "27": "new", R16B03: "ancient", "100": "far", "9": "old" };

describe("the Erlang/OTP of a package", () => {
  const cases: [
    name: string,
    asked: string | null,
    listed: string[],
    is: ReturnType<typeof chooseOtp>,
  ][] = [
    [
      "is the one that was asked for, and only that one",
      "9",
      ["27", "100"],
      { erl: "9", here: true, others: [] },
    ],
    ["may be asked for where it is not", "26", ["27"], { erl: "26", here: false, others: [] }],
    [
      "is the first of the author's list that the agent has; the others are built elsewhere",
      null,
      ["18", "27", "18", "9"],
      { erl: "27", here: true, others: ["18", "9"] },
    ],
    [
      "is the first of a list of which the agent has none",
      null,
      ["18", "19"],
      { erl: "18", here: false, others: ["19"] },
    ],
    [
      "is the agent's newest when the author says nothing that counts",
      null,
      ["latest", "../27", ""],
      { erl: "100", here: true, others: [] },
    ],
  ];
  for (const [name, asked, listed, is] of cases)
    test(name, () => assert.deepEqual(chooseOtp(asked, listed, IMAGES), is));

  test("is told in the agent's label, oldest first", () => {
    assert.deepEqual(otpLabel(IMAGES), { erlang: "9,R16B03,27,100" });
    assert.equal(fetchImage(IMAGES), "far");
  });
});

describe("the builds that one leads to", () => {
  const { asked } = erlangTargetSchema.parse({
    recipe: "erlang",
    asked: {
      kind: "package",
      remote: "git.example",
      path: ["ada", "tool"],
      namespace: "ada",
      name: "tool",
      ref: null,
      notify: true,
      depth: 0,
    },
    erl: null,
    visibility: "public",
  });
  assert.equal(asked.kind, "package");
  const resolved = { version: "1.2.3", commit: "0".repeat(40), kind: "tag" as const };
  const dependency = (name: string) => ({
    remote: "git.example",
    path: ["bob", name],
    namespace: "bob",
    name,
    ref: "2.0",
  });
  const choice = { erl: "27", here: true, others: ["25", "18"] };

  test("are the other versions of Erlang, and each dependency once for this one", () => {
    const follow = followed(asked, resolved, choice, [
      dependency("lib"),
      dependency("lib"),
      dependency("other"),
    ]);
    assert.deepEqual(
      follow.map(({ name, ref, erl, why }) => [name, ref, erl, why]),
      [
        ["tool", "1.2.3", "25", "version"],
        ["tool", "1.2.3", "18", "version"],
        ["lib", "2.0", "27", "dependency"],
        ["other", "2.0", "27", "dependency"],
      ],
    );
    for (const one of follow) assert.deepEqual(followSchema.parse(one), one);
  });

  test("end: so deep, and so many", () => {
    const deep = { ...asked, depth: FOLLOW_DEPTH };
    assert.deepEqual(followed(deep, resolved, choice, [dependency("lib")]), []);
    const many = Array.from({ length: 100 }, (_, i) => dependency(`lib${i}`));
    assert.equal(followed(asked, resolved, choice, many).length, FOLLOW_BUILDS);
  });
});
