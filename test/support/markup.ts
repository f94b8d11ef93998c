/** Whether markup is what our pages promise: well-formed, and nothing in it that a strict policy would have to allow. */

const VOID = new Set(["br", "hr", "img", "input", "link", "meta"]);
const TAG = /<(\/?)([a-z][a-z0-9]*)((?:\s+[a-z-]+(?:="[^"<]*")?)*)\s*(\/?)>/g;

/** What is wrong with a whole document, in words; empty when nothing is. */
export function markupFaults(html: string): string[] {
  const faults: string[] = [];
  const open: string[] = [];
  const ids: string[] = [];
  if (!html.startsWith("<!DOCTYPE html>")) faults.push("no doctype");
  const body = html.replace("<!DOCTYPE html>", "");
  for (const [, end, name = "", attributes = ""] of body.matchAll(TAG)) {
    ids.push(...[...attributes.matchAll(/\sid="([^"]*)"/g)].map(([, id = ""]) => id));
    const inline = /\s(?:style|on[a-z]+)(?:=|\s|$)/.exec(
      attributes.replaceAll(/"[^"]*"/g, '""'),
    )?.[0];
    if (inline !== undefined) faults.push(`an inline${inline}`);
    if (name === "script" && end === "" && !attributes.includes(" src=")) faults.push("a script");
    if (name === "style") faults.push("a style");
    if (VOID.has(name)) continue;
    if (end === "") open.push(name);
    else if (open.pop() !== name) faults.push(`</${name}> closes something else`);
  }
  if (open.length > 0) faults.push(`left open: ${open.join(", ")}`);
  const text = body.replaceAll(TAG, "");
  if (/[<>]/.test(text)) faults.push(`not markup: ${/.{0,40}[<>].{0,40}/s.exec(text)?.[0]}`);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) faults.push(`two of id ${id}`);
  if ((html.match(/<h1/g) ?? []).length !== 1) faults.push("not one h1");
  return faults;
}

/** The places that links, forms, pictures and files of a page lead to. */
export function linksOf(html: string): string[] {
  return [...html.matchAll(/\s(?:href|src)="([^"]*)"/g)].map(([, url = ""]) =>
    url.replaceAll("&amp;", "&"),
  );
}
