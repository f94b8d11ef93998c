/**
 * Dependencies in a makefile of erlang.mk (erlang.mk's guide, "External dependencies"): `DEPS`, and `dep_NAME` for each.
 * Only what plain assignments say is known without running make, which would run the repository's code. Pure.
 */
import { gitWant, hexWant, open, type Remotes, type Want } from "./erlang-wants.ts";

const ASSIGNMENT = /^(?:export\s+|override\s+)*([A-Za-z0-9_@.-]+)\s*(::?:?|\+|\?)?=\s*(.*)$/;
const CONDITION = /^(?:ifn?eq|ifn?def)\b/;
/** Variables whose words are dependencies of the application. Those of tests and documents are not needed. */
const LISTS = ["DEPS", "BUILD_DEPS"];
/** Rounds of putting variables into variables: what needs more refers to itself. */
const EXPANSIONS = 8;
/** Characters that a variable may come to: each may hold others, so that few lines could be endless. */
const EXPANDED_CHARS = 65_536;
const REFERENCE = /\$[({]([A-Za-z0-9_@.-]+)[)}]/g;

type Variables = { values: Map<string, string>; conditional: Set<string> };

export function makefileWants(makefile: string, remotes: Remotes): Want[] {
  const variables = assignments(makefile);
  return LISTS.flatMap((list) => {
    const names = value(list, variables);
    if (names === null)
      return [open(list, "in the makefile depends on more than plain assignments say")];
    return names
      .split(/\s+/)
      .filter(Boolean)
      .map((app) => want(app, variables, remotes));
  });
}

function want(app: string, variables: Variables, remotes: Remotes): Want {
  const said = value(`dep_${app}`, variables);
  if (said === null || (said === "" && !variables.values.has(`dep_${app}`)))
    return open(app, `has no plain dep_${app} in the makefile: say dep_${app} = git URL TAG`);
  const words = said.split(/\s+/).filter(Boolean);
  const [first = "", second = "", third = null] = words;
  const pinned = value(`dep_${app}_commit`, variables) || null;
  if (first === "git") return gitWant(app, second, pinned ?? third, "any", remotes);
  if (first === "hex") return hexWant(app, third ?? app, second);
  // Of old: the URL, then what to check out.
  if (/^[a-z+]+:\/\//.test(first))
    return gitWant(app, first, pinned ?? (second || null), "any", remotes);
  return open(app, `is fetched by ${first || "nothing"}: only git and hex are known`);
}

/** A variable with the variables in it put in; null where make itself would have to say. */
function value(name: string, { values, conditional }: Variables): string | null {
  let text = values.get(name) ?? "";
  if (conditional.has(name)) return null;
  for (let round = 0; text.includes("$"); round++) {
    if (round === EXPANSIONS || text.length > EXPANDED_CHARS) return null;
    let references = 0;
    let chars = 0;
    let unknown = false;
    text = text.replace(REFERENCE, (_, one: string) => {
      const put = values.get(one) ?? "";
      references++;
      chars += put.length;
      if (conditional.has(one) || chars > EXPANDED_CHARS) unknown = true;
      return unknown ? "" : put;
    });
    if (unknown || references === 0) return null;
  }
  return text.trim();
}

function assignments(makefile: string): Variables {
  const values = new Map<string, string>();
  const conditional = new Set<string>();
  let depth = 0;
  for (const raw of makefile.replace(/\\\r?\n/g, " ").split(/\r?\n/)) {
    if (raw.startsWith("\t")) continue;
    const line = raw.replace(/(^|\s)#.*$/, "").trim();
    if (CONDITION.test(line)) depth++;
    else if (/^endif\b/.test(line)) depth = Math.max(0, depth - 1);
    const [, name, operator = "", text = ""] = ASSIGNMENT.exec(line) ?? [];
    if (name === undefined) continue;
    if (depth > 0) conditional.add(name);
    const before = values.get(name);
    if (operator === "+") values.set(name, before === undefined ? text : `${before} ${text}`);
    else if (operator !== "?" || before === undefined) values.set(name, text);
  }
  return { values, conditional };
}
