import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { AREAS, type FaultCase } from "./case.ts";

const FOLDER = join(import.meta.dirname, "cases");

/** What every file of cases/ gives, area by area. */
export async function allCases(): Promise<FaultCase[]> {
  const files = (await readdir(FOLDER)).filter((name) => name.endsWith(".ts"));
  const modules: { cases: FaultCase[] }[] = await Promise.all(
    files.map((name) => import(join(FOLDER, name))),
  );
  return modules
    .flatMap((module) => module.cases)
    .sort((a, b) => AREAS.indexOf(a.area) - AREAS.indexOf(b.area));
}
