/** What a client reads when its app has no answer. */
import { Problem, type ProblemCode } from "../../shared/problem.ts";
import { problemBody } from "../respond.ts";

const SENTENCES: Record<string, [code: ProblemCode, sentence: string]> = {
  large: ["head_too_large", "The request's headers and target are more than an app is sent"],
  down: ["app_down", "This app cannot be reached at the moment. Try again in a while."],
  busy: ["app_down", "The app has as many requests under way as its agents take. Try again."],
  gone: ["app_down", "This app was just removed."],
  broken: ["app_broken", "The app did not answer"],
  unknown: ["overloaded", "Which app is meant cannot be told at the moment. Try again."],
};

/** 502 or 503, as a page for a browser and as RFC 9457 for everybody else. */
export async function respondToBrowser(
  request: Request,
  response: Response,
  why: string,
): Promise<Response> {
  const [code, sentence] = SENTENCES[why] ?? ["app_down", "There is no answer."];
  const more = await response.text();
  const problem = new Problem(
    code,
    more === "" ? sentence : `${sentence.replace(/\.$/, "")}: ${more}.`,
  );
  const headers = new Headers({ "cache-control": "no-store", "x-content-type-options": "nosniff" });
  if (problem.status === 503) headers.set("retry-after", "2");
  if (!(request.headers.get("accept") ?? "").includes("text/html")) {
    headers.set("content-type", "application/problem+json");
    return new Response(`${JSON.stringify(problemBody(problem))}\n`, {
      status: problem.status,
      headers,
    });
  }
  headers.set("content-type", "text/html; charset=utf-8");
  headers.set("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'");
  return new Response(page(problem), { status: problem.status, headers });
}

function page({ status, title, message }: Problem): string {
  const text = message.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${status} ${title}</title>
<style>:root{color-scheme:light dark}body{font:1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:20vh auto;padding:0 1rem}</style>
<h1>${title}</h1>
<p>${text}</p>
</html>
`;
}
