/**
 * What every refusal of the edge must be: a problem (RFC 9457) with a stable code and a sentence that helps; on the
 * paths of tutum-builder, of coon and of peroku, their own shapes.
 */
import { bodyOf, type RawAnswer } from "./raw-http.ts";

const TUTUM_PATH = / \/api\/v1(?:\/|$)/;
const COON_PATH =
  / \/(?:(?:buildAsync|buildSync|rebuild|callback|search|versions|last_builds|download|get|build_log|download_erts|badge)(?![\w.-])|builds\/?(?:\.|%2e)?(?:[ ?]|$))/i;

const PEROKU_PATH = / \/(?:list|run|logs|projects)(?:[/? ]|$)/;
const PEROKU_WORDS = /^(?:Invalid token\.|logging endpoint not found|project '.*' not found\.)$/;

/** What is wrong with an answer that should be a refusal: empty when nothing is. `what` was asked. */
export function faultsOf(what: string, answer: RawAnswer | null): string[] {
  if (answer === null) return [`${what}: the connection was just closed`];
  const { status } = answer;
  const body = bodyOf(answer);
  const found: string[] = [];
  if (status < 400 || status > 499) found.push(`status ${status}`);
  if (/\bat \w+.*\.(ts|js):\d+/.test(body)) found.push("a stack trace");
  if (PEROKU_PATH.test(what) && PEROKU_WORDS.test(body)) return label(what, found, body);
  try {
    const problem = JSON.parse(body) as Record<string, unknown>;
    const tutum = TUTUM_PATH.test(what) && "Error" in problem;
    const coon = COON_PATH.test(what) && problem.result === false;
    const sentence = tutum ? problem.Error : coon ? problem.response : problem.detail;
    if (String(sentence ?? "").length < 10) found.push("no sentence");
    if (!tutum && !coon) {
      if (!/^[a-z0-9_]+$/.test(String(problem.code))) found.push(`code ${problem.code}`);
      if (problem.status !== status) found.push(`a body for status ${problem.status}`);
    }
  } catch {
    found.push("no JSON");
  }
  return label(what, found, body);
}

function label(what: string, found: readonly string[], body: string): string[] {
  return found.map((fault) => `${what}: ${fault}: ${body.slice(0, 200)}`);
}
