/** `/add`: a repository, its versions, and the builds that are ticked. */
import type { Context, Hono } from "hono";
import type { Repository } from "../../shared/git-url.ts";
import { Problem } from "../../shared/problem.ts";
import { goGitPath, goPath, goRepository } from "../../shared/recipes/go.ts";
import { newestFirst } from "../../shared/versions.ts";
import type { App, AppEnv } from "../app.ts";
import { type Config, readConfig } from "../config.ts";
import { otpVersions, parseCloneUrl } from "../erlang.ts";
import { publicTags } from "../resolve.ts";
import {
  AddOutcomes,
  type AddRecipe,
  AddRepository,
  AddVersions,
  type Outcome,
  type Variant,
} from "../web/add.tsx";
import { page } from "../web/layout.tsx";
import { LISTED_RECIPES } from "../web/words.ts";
import { remoteBase } from "./go-request.ts";
import { type Ask, accepted, type Form, postedForm, refusalOf } from "./web-actions.ts";

/** Tags that the form lists. */
const LISTED_TAGS = 20;
/** Builds that one form may ask for: each costs calls to the git host and to objects within one request. */
const FORM_BUILDS = 32;
const PLATFORMS = ["linux/amd64", "linux/arm64", "darwin/arm64", "darwin/amd64", "windows/amd64"];

/** Neither another version nor another platform would be let in. */
const NO_USE_TO_GO_ON = new Set([401, 403]);

/** What is to be built of a repository. */
type Wish = { version: string; variant: string };

export async function addPage(c: Context<AppEnv>): Promise<Response> {
  const written = (c.req.query("repository") ?? "").trim();
  const recipe = recipeOf(c.req.query("recipe"));
  c.set("typed", { repository: written, recipe });
  const first = (
    <>
      <h1>Add a build</h1>
      <AddRepository repository={written} recipe={recipe} />
    </>
  );
  if (written === "") return page(c, { title: "Add a build" }, first);
  const config = readConfig(c.env);
  const repository = readRepository(config, written);
  const tags = await publicTags(remoteBase(config, repository), repository);
  const variants = await variantsOf(c.env, recipe);
  return page(
    c,
    { title: "Add a build", headers: { "cache-control": "no-store" } },
    <>
      {first}
      <AddVersions
        repository={written}
        name={goRepository(repository)}
        recipe={recipe}
        tags={newestFirst(tags).slice(0, LISTED_TAGS)}
        more={tags.length > LISTED_TAGS}
        variants={variants}
        token={!config.openBuilds}
        most={FORM_BUILDS}
      />
    </>,
  );
}

export function addRoutes(site: Hono<AppEnv>, api: App): void {
  site.post("/add", async (c) => {
    const { form, ask } = await postedForm(c, api);
    const written = form.repository?.[0]?.trim() ?? "";
    const recipe = recipeOf(form.recipe?.[0]);
    // What was typed is offered again, whatever goes wrong with it.
    c.set("typed", { repository: written, recipe });
    const repository = readRepository(readConfig(c.env), written);
    const wishes = wishesOf(form);
    const outcomes =
      recipe === "go"
        ? await buildPrograms(repository, wishes, ask)
        : await buildPackages(repository, wishes, ask);
    const only = outcomes.length === 1 ? outcomes[0] : undefined;
    if (only?.href?.startsWith("/builds/")) return c.redirect(only.href, 303);
    const again = `/add?${new URLSearchParams({ repository: written, recipe })}`;
    return page(
      c,
      { title: "Builds added", headers: { "cache-control": "no-store" } },
      <AddOutcomes name={goRepository(repository)} outcomes={outcomes} again={again} />,
    );
  });
}

/** Throws Problem `bad_form` and `remote_not_allowed`. */
function readRepository(config: Config, written: string): Repository {
  try {
    return parseCloneUrl(config, written);
  } catch (error) {
    if (!(error instanceof Problem) || error.code !== "bad_body") throw error;
    const detail = error.message.replace("The clone URL", "The address of the repository");
    throw new Problem("bad_form", detail);
  }
}

function recipeOf(text: string | undefined): AddRecipe {
  return text !== undefined && Object.hasOwn(LISTED_RECIPES, text) ? (text as AddRecipe) : "go";
}

async function variantsOf(env: Env, recipe: AddRecipe): Promise<Variant[]> {
  if (recipe === "go") return PLATFORMS.map((platform) => ({ value: platform, word: platform }));
  const versions = await otpVersions(env);
  const offered = versions.map((otp) => ({ value: otp, word: `Erlang ${otp}` }));
  return [{ value: "", word: "Its own choice" }, ...offered];
}

/** Throws Problem `bad_form` when nothing is ticked, or too much. */
function wishesOf(form: Form): Wish[] {
  const other = form.other?.[0]?.trim() ?? "";
  const ticked = (form.pick ?? []).map((pick) => {
    const space = pick.indexOf(" ");
    return { version: pick.slice(0, space), variant: pick.slice(space + 1) };
  });
  const written = (form["other-variant"] ?? []).map((variant) => ({ version: other, variant }));
  if (other === "" && written.length > 0)
    throw new Problem(
      "bad_form",
      "Another version was ticked, but not written. Go back and name it.",
    );
  const wishes = [...ticked, ...written];
  if (wishes.length === 0)
    throw new Problem("bad_form", "Nothing was ticked. Go back and choose what to build.");
  if (wishes.length > FORM_BUILDS)
    throw new Problem("bad_form", `At most ${FORM_BUILDS} builds can be asked for at once.`);
  return wishes;
}

async function buildPrograms(
  repository: Repository,
  wishes: readonly Wish[],
  ask: Ask,
): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const { version, variant } of wishes) {
    const [goos = "", goarch = ""] = variant.split("/");
    const answer = await ask("POST", goPath({ ...repository, goos, goarch, version, make: null }));
    // What is refused to whoever asks first, or for the only build, is the answer to the whole form.
    if (wishes.length === 1 || NO_USE_TO_GO_ON.has(answer.status)) await accepted(answer, 409);
    outcomes.push({ version, word: variant, ...(await outcomeOf(answer)) });
  }
  return outcomes;
}

async function outcomeOf(answer: Response): Promise<Pick<Outcome, "text" | "href" | "ok">> {
  if (answer.status === 202) {
    const { build_id, status } = (await answer.json()) as { build_id: string; status: string };
    return { text: `Build ${build_id} is ${status}`, href: `/builds/${build_id}`, ok: true };
  }
  const location = answer.headers.get("location");
  if (answer.status === 409 && location !== null)
    return { text: "It is there already: download it", href: location, ok: true };
  return { text: (await refusalOf(answer)).detail, href: null, ok: false };
}

/** One request for them all, as coon's clients make it: the package is called as its repository. */
async function buildPackages(
  repository: Repository,
  wishes: readonly Wish[],
  ask: Ask,
): Promise<Outcome[]> {
  const answer = await ask("POST", "/buildAsync", {
    full_name: repository.path.slice(-2).join("/"),
    clone_url: `https://${repository.remote}${goGitPath(repository)}`,
    notify_email: false,
    versions: wishes.map(({ version, variant }) => ({ ref: version, erl_version: variant })),
  });
  const { response } = (await (await accepted(answer)).json()) as {
    response: { build_ids: string[] };
  };
  return response.build_ids.map((id, i) => {
    const { version = "", variant = "" } = wishes[i] ?? {};
    const word = variant === "" ? "" : `Erlang ${variant}`;
    return { version, word, text: `Build ${id}`, href: `/builds/${id}`, ok: true };
  });
}
