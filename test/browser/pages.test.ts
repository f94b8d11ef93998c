/** The pages in a real browser, over the whole of Railhead. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Browser, BrowserContext, BrowserContextOptions, Page } from "playwright-core";
import { EdgeProxy } from "../faults/proxy.ts";
import { accessibilityFaults, openBrowser, picture } from "../support/chromium.ts";
import { hello, TALKATIVE_LINES } from "../support/fixtures.ts";
import { openStack, type TestStack } from "../support/stack.ts";
import { until } from "../support/until.ts";

const BASE = "/git.example/ada/hello/linux/amd64";
/** Milliseconds a build of the tests may take on a machine with two busy cores. */
const BUILD_MS = 120_000;
/** How people look at pages. */
const VIEWS: Record<string, BrowserContextOptions> = {
  light: { colorScheme: "light", viewport: { width: 1_280, height: 900 } },
  dark: { colorScheme: "dark", viewport: { width: 1_280, height: 900 } },
  phone: { colorScheme: "light", viewport: { width: 360, height: 740 } },
};

describe("the pages in a browser", () => {
  let stack: TestStack;
  let browser: Browser;
  let closeBrowser: () => Promise<void> = async () => {};
  const contexts: BrowserContext[] = [];
  const faults: string[] = [];

  before(async () => {
    const [opened, started] = await Promise.all([
      openStack({ repositories: { "ada/hello": hello } }),
      openBrowser(),
    ]);
    stack = opened;
    browser = started.browser;
    closeBrowser = started.close;
  });
  after(async () => {
    await closeBrowser();
    await stack?.close();
  });

  /** A page whose errors fail the test that asks for them. */
  async function open(path: string, options: BrowserContextOptions = {}, base = stack.url) {
    const context = await browser.newContext({ baseURL: base, ...VIEWS.light, ...options });
    contexts.push(context);
    const page = await context.newPage();
    // What the policy forbids, and what breaks in a script, is said here and nowhere else.
    page.on("pageerror", (error) => faults.push(String(error)));
    page.on("console", (message) => {
      if (message.type() === "error" && !/Failed to load resource|ERR_CONN/.test(message.text()))
        faults.push(message.text());
    });
    page.setDefaultTimeout(BUILD_MS);
    await page.goto(path);
    return page;
  }

  async function closeAll(): Promise<void> {
    for (const context of contexts.splice(0)) await context.close();
    assert.deepEqual(faults.splice(0), []);
  }

  const standing = (page: Page) => page.locator("#standing .state").innerText();
  const stands = (page: Page, word: string) =>
    until(`the page to say ${word}`, async () => (await standing(page)) === word, BUILD_MS);
  const logText = (page: Page) => page.locator("#log").innerText();

  test("a repository becomes a build by a form, and its log appears while it runs", async (t) => {
    t.after(closeAll);
    const page = await open("/");
    await page.getByRole("link", { name: "Add a build", exact: true }).first().click();
    await page.getByLabel("Repository").fill("https://git.example/ada/hello.git");
    await page.getByRole("button", { name: "Show its versions" }).click();
    await picture(page, "add-versions-light");
    await page.getByRole("checkbox", { checked: true }).uncheck();
    await page.getByLabel("Another version", { exact: true }).fill("held");
    await page.getByLabel("another version, linux/amd64").check();
    await page.getByRole("button", { name: "Build what is ticked" }).click();
    await page.waitForURL(/\/builds\/[0-9a-f]{32}$/);
    const id = page.url().slice(-32);

    await stands(page, "Running");
    await page.getByText("held: line 3", { exact: true }).waitFor();
    assert.equal(await page.locator("#log-state").innerText(), "Live.");
    await picture(page, "build-running-light");
    assert.deepEqual(await accessibilityFaults(page), []);
    await stack.release(id);
    await stands(page, "Succeeded");
    assert.match(await logText(page), /held: released\n[\s\S]*Your build is successful\./);
    assert.equal(await page.locator("#log-state").innerText(), "Complete.");
    const shown = await page.locator("#log .line").allInnerTexts();
    assert.deepEqual(
      shown,
      (await stack.log(id)).map(({ msg }) => msg),
    );

    const downloading = page.waitForEvent("download");
    await page.getByRole("link", { name: "hello_linux_amd64.tar.gz" }).click();
    assert.equal((await downloading).suggestedFilename(), "hello_linux_amd64.tar.gz");
    await picture(page, "build-succeeded-light");
  });

  test("a running build is cancelled by a button, and a failed one is built again", async (t) => {
    t.after(closeAll);
    const { build_id } = await stack.start(`${BASE}/held-2`);
    const page = await open(`/builds/${build_id}`);
    await stack.building(build_id);
    await page.getByRole("button", { name: "Cancel the build" }).click();
    await stands(page, "Cancelled");

    const failed = await stack.build(`${BASE}/broken`);
    await page.goto(`/builds/${failed.id}`);
    assert.equal(await standing(page), "Failed");
    assert.match(await page.locator("#standing").innerText(), /make/);
    await picture(page, "build-failed-light");
    await page.getByRole("button", { name: "Build it again" }).click();
    await page.waitForURL((url) => !url.pathname.endsWith(failed.id));
    await stands(page, "Failed");
  });

  test("the log goes on where it was when the connection was cut", async (t) => {
    t.after(closeAll);
    const proxy = await EdgeProxy.open(stack.url);
    t.after(() => proxy.close());
    const { build_id } = await stack.start(`${BASE}/held-3`);
    await stack.building(build_id);
    const page = await open(`/builds/${build_id}`, {}, proxy.url);
    await page.getByText("held: line 2", { exact: true }).waitFor();
    proxy.cut();
    await page.getByText("The connection is cut").waitFor();
    proxy.heal();
    await page.getByText("Live.", { exact: true }).waitFor();
    await stack.release(build_id);
    await stands(page, "Succeeded");
    await page.getByText("Complete.", { exact: true }).waitFor();
    const shown = await page.locator("#log .line").allInnerTexts();
    assert.deepEqual(
      shown,
      (await stack.log(build_id)).map(({ msg }) => msg),
    );
  });

  test("a log of many lines leaves the page light, and says where the rest is", async (t) => {
    t.after(closeAll);
    const { build_id } = await stack.start(`${BASE}/talkative`);
    const page = await open(`/builds/${build_id}`);
    await stands(page, "Succeeded");
    await page.getByText(`line ${TALKATIVE_LINES}`, { exact: true }).waitFor();
    assert.ok((await page.locator("#log .line").count()) <= 5_000);
    await page.getByText("Earlier lines are not shown here").waitFor();
    await page.getByText("Your build is successful.").waitFor();
    const whole = await page.getByRole("link", { name: "Whole log" }).getAttribute("href");
    const text = await (
      await stack.fetch(whole ?? "", { headers: { accept: "text/html" } })
    ).text();
    assert.ok(text.split("\n").length > TALKATIVE_LINES);
  });

  test("everything can be reached and done with the keyboard alone", async (t) => {
    t.after(closeAll);
    await stack.ensure(`${BASE}/v1.1.0`);
    const page = await open("/");
    const focused = () =>
      page.evaluate<string>(
        "(document.activeElement.innerText || document.activeElement.name || '').trim()",
      );
    const tabTo = async (name: string) => {
      for (let presses = 0; (await focused()) !== name; presses++) {
        assert.ok(presses < 200, `${name} is not reached`);
        await page.keyboard.press("Tab");
      }
    };
    await page.keyboard.press("Tab");
    assert.equal(await focused(), "Skip to the content");
    await page.keyboard.press("Enter");
    await tabTo("q");
    await page.keyboard.type("hello");
    await page.keyboard.press("Enter");
    await page.waitForURL(/q=hello/);
    await tabTo("Add a build");
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/add$/);
    await tabTo("repository");
    await page.keyboard.type("git.example/ada/hello");
    await page.keyboard.press("Enter");
    await page.waitForURL(/repository=/);
    await tabTo("pick");
    await page.keyboard.press("Space");
    await tabTo("other");
    await page.keyboard.type("v1.1.0");
    await tabTo("other-variant");
    await page.keyboard.press("Space");
    await tabTo("Build what is ticked");
    await page.keyboard.press("Enter");
    // One tick only, of what is there already: it is offered for download.
    await page.getByText("It is there already").waitFor();
    await tabTo("It is there already: download it");
  });

  test("a reader who scrolled up is left there, and is brought back to the end on demand", async (t) => {
    t.after(closeAll);
    const { build_id } = await stack.start(`${BASE}/held-4`);
    await stack.building(build_id);
    const page = await open(`/builds/${build_id}`, { viewport: { width: 900, height: 300 } });
    const log = page.locator("#log");
    const place = () =>
      log.evaluate(({ scrollTop, scrollHeight, clientHeight }) => ({
        scrollTop,
        left: scrollHeight - scrollTop - clientHeight,
      }));
    await page.getByText("held: line 12", { exact: true }).waitFor();
    assert.ok((await place()).left < 30, "it follows");
    await log.evaluate((element) => element.scrollTo(0, 10));
    const button = page.getByRole("button", { name: "Follow the end" });
    await button.waitFor();
    const lines = await page.locator("#log .line").count();
    await until("more lines", async () => (await page.locator("#log .line").count()) > lines + 3);
    assert.equal((await place()).scrollTop, 10);
    await button.click();
    await until("the end", async () => (await place()).left < 30);
    await stack.release(build_id);
    await stands(page, "Succeeded");
  });

  test("without JavaScript every page says what there is", async (t) => {
    t.after(closeAll);
    const { id } = await stack.ensure(`${BASE}/v1.0.0`);
    const page = await open(`/builds/${id}`, { javaScriptEnabled: false });
    assert.equal(await standing(page), "Succeeded");
    assert.match(await logText(page), /Your build is successful\./);
    await page.getByRole("link", { name: "hello_linux_amd64.tar.gz" }).waitFor();
    await page.goto("/?q=hello");
    await page.getByRole("link", { name: /git\.example\/ada\/hello v1\.0\.0/ }).waitFor();
  });

  test("pages are clean by axe and fit the window: light, dark, on a phone", async (t) => {
    t.after(closeAll);
    const { id } = await stack.ensure(`${BASE}/v1.0.0`);
    const failed = await stack.build(`${BASE}/uncompilable`);
    const paths: Record<string, string> = {
      front: "/",
      search: "/?q=hello",
      nothing: "/?q=nothing-like-it",
      add: "/add?repository=https://git.example/ada/hello.git",
      build: `/builds/${id}`,
      failed: `/builds/${failed.id}`,
      package: "/p/git.example/ada/hello",
      error: "/builds/0",
    };
    for (const [view, options] of Object.entries(VIEWS)) {
      const page = await open("/", options);
      for (const [name, path] of Object.entries(paths)) {
        await page.goto(path);
        await picture(page, `${name}-${view}`);
        assert.deepEqual(await accessibilityFaults(page), [], `${path} in ${view}`);
        const overflow = await page.evaluate(
          "document.documentElement.scrollWidth - document.documentElement.clientWidth",
        );
        assert.equal(overflow, 0, `${path} in ${view} is wider than the window`);
      }
    }
  });
});
