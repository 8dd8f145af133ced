// The public register in a real browser: what a machine can check of "everybody can read it".
//
//   REGISTER_DIR   folder written by `register_town`: plain/ (600 entries), loud/ (custody label, logs in trouble)
//   REGISTER_URL   http://127.0.0.1:PORT of the same plain site as the agency serves it, with its headers
//   CHROMIUM       the browser's binary
//   SHOTS          folder for pictures of every kind of page; none are taken without it
//
// Texts and structure are tested, never pixels.

import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { AxeBuilder } from "@axe-core/playwright";
import { chromium } from "playwright-core";
import { follow } from "./browser.mjs";

const folder = process.env.REGISTER_DIR;
const origin = process.env.REGISTER_URL;
const base = `${origin}/register/`;
const shots = process.env.SHOTS;
const PAGE_BYTES_MAX = 100_000;
const NARROW = { width: 320, height: 640 };
const WIDE = { width: 1100, height: 800 };

let browser;

before(async () => {
  assert.ok(folder && origin, "REGISTER_DIR and REGISTER_URL must be set; use scripts/browser-test");
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || undefined,
    args: [
      "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
      "--disable-sync",
    ],
  });
});

after(async () => browser?.close());

function files(root, inside = "") {
  return readdirSync(join(root, inside), { withFileTypes: true }).flatMap((entry) => {
    const path = inside ? `${inside}/${entry.name}` : entry.name;
    return entry.isDirectory() ? files(root, path) : [path];
  });
}

/// Pages of one site: every page that is not an entry, and of the entries those that a filter page lists first, which gives
/// every decision, purpose, agency and rule. Later pages of a list are built like its second one.
function pages(name) {
  const root = join(folder, name);
  const all = files(root).filter((path) => path.endsWith(".html"));
  const lists = all.filter((path) => !path.includes("entry/") && !/\.([3-9]|\d\d+)\.html$/.test(path));
  const entries = new Set();
  for (const path of lists.filter((path) => !path.startsWith("es/"))) {
    const link = readFileSync(join(root, path), "utf8").match(/href="(?:\.\.\/)*(entry\/[0-9a-f]{64}\.html)"/);
    if (link) entries.add(link[1]).add(`es/${link[1]}`);
  }
  return [...lists, ...entries].sort();
}

/// One page of each kind in each language: for what takes a second a page.
function kinds(name) {
  const seen = new Set();
  return pages(name).filter((path) => {
    const language = path.startsWith("es/") ? "es" : "en";
    const rest = path.replace(/^es\//, "");
    const kind = rest.startsWith("entry/") ? `entry ${stateOf(name, rest)}` : rest.replace(/\/[^.]*/, "/");
    const key = `${language} ${kind}`;
    return !seen.has(key) && seen.add(key);
  });
}

function stateOf(name, path) {
  const html = readFileSync(join(folder, name, path), "utf8");
  return [...html.matchAll(/class="badge (\w+)"/g)].map((match) => match[1]).join(" ");
}

async function context(options = {}) {
  const made = await browser.newContext({ viewport: WIDE, ...options });
  made.setDefaultTimeout(15_000);
  return made;
}

/// Everything that a page asks for, and everything that the browser complains about.
function watch(page) {
  const seen = { requests: [], complaints: [] };
  page.on("request", (request) => seen.requests.push(request.url()));
  page.on("console", (message) => seen.complaints.push(message.text()));
  page.on("pageerror", (error) => seen.complaints.push(String(error)));
  page.on("response", (response) => {
    if (response.status() >= 400) seen.complaints.push(`${response.status()}: ${response.url()}`);
  });
  page.on("requestfailed", (request) => {
    const { errorText } = request.failure();
    // A page is loaded before its icon is; who goes on to the next page stops asking for it.
    const left = errorText === "net::ERR_ABORTED" && request.url() === `${base}mark.svg`;
    if (!left) seen.complaints.push(`${errorText}: ${request.url()}`);
  });
  return seen;
}

test("the test pages hold what they must", () => {
  const entries = files(join(folder, "plain")).filter((path) => /^entry\//.test(path));
  assert.ok(entries.length >= 500, `${entries.length} entries`);
  const states = new Set(entries.map((path) => stateOf("plain", path)));
  for (const state of ["granted", "refused", "waiting", "granted alarm"]) assert.ok(states.has(state), state);
  assert.ok(pages("plain").length > 60);
});

/// Both widths of each kind of page in English; Spanish differs in the length of its words, which tell on a narrow screen.
function views(name) {
  return kinds(name).flatMap((path) => (path.startsWith("es/") ? [NARROW] : [WIDE, NARROW]).map((viewport) => ({ path, viewport })));
}

for (const name of ["plain", "loud"]) {
  test(`axe finds nothing on the ${name} pages`, { timeout: 900_000 }, async () => {
    const ctx = await context({ bypassCSP: true });
    const found = [];
    const left = views(name);
    const look = async () => {
      const page = await ctx.newPage();
      for (let view = left.pop(); view; view = left.pop()) {
        await page.setViewportSize(view.viewport);
        await page.goto(pathToFileURL(join(folder, name, view.path)).href);
        const { violations, passes } = await new AxeBuilder({ page }).analyze();
        assert.ok(passes.length > 10, `axe looked at ${view.path}`);
        for (const one of violations) found.push(`${view.path} at ${view.viewport.width}: ${one.id}: ${one.nodes[0].html}`);
      }
    };
    await Promise.all([look(), look()]);
    assert.deepEqual(found, []);
    await ctx.close();
  });
}

test("axe finds a planted fault", async () => {
  const ctx = await context();
  const page = await ctx.newPage();
  await page.goto(pathToFileURL(join(folder, "plain", "index.html")).href);
  await page.evaluate(() => document.querySelector("html").removeAttribute("lang"));
  const { violations } = await new AxeBuilder({ page }).analyze();
  assert.ok(violations.some((one) => one.id === "html-has-lang"));
  await ctx.close();
});

test("at 320 px nothing is wider than the screen, and text may grow to 200 %", { timeout: 900_000 }, async () => {
  const ctx = await context({ viewport: NARROW });
  const page = await ctx.newPage();
  const wide = [];
  for (const name of ["plain", "loud"]) {
    for (const path of pages(name)) {
      await page.goto(pathToFileURL(join(folder, name, path)).href);
      const over = await page.evaluate(overflow);
      if (over) wide.push(`${name}/${path}: ${over}`);
    }
  }
  assert.deepEqual(wide, []);
  await page.setViewportSize({ width: 640, height: 640 });
  for (const path of kinds("plain")) {
    await page.goto(pathToFileURL(join(folder, "plain", path)).href);
    await page.evaluate(() => document.documentElement.style.setProperty("font-size", "200%"));
    const over = await page.evaluate(overflow);
    assert.equal(over, "", `${path} with text at 200 %`);
  }
  await page.evaluate(() => document.querySelector("main").insertAdjacentHTML("beforeend", '<div id="planted">x</div>'));
  await page.evaluate(() => document.querySelector("#planted").style.setProperty("width", "5000px"));
  assert.notEqual(await page.evaluate(overflow), "", "a planted box is found");
  await ctx.close();
});

/// What is wider than the screen; runs in the page.
function overflow() {
  const wide = document.documentElement.clientWidth;
  const over = [...document.body.querySelectorAll("*")].find((element) => {
    const box = element.getBoundingClientRect();
    return box.width > 0 && box.right > wide + 1 && !element.closest(".skip");
  });
  if (over) return `${over.tagName} ${over.className} ${over.textContent.slice(0, 40)}`;
  return document.documentElement.scrollWidth > wide ? "the page scrolls sideways" : "";
}

test("served as the agency serves it: no other origin, no complaint, small, with its headers", { timeout: 600_000 }, async () => {
  const ctx = await context({ javaScriptEnabled: false });
  const page = await ctx.newPage();
  for (const path of pages("plain")) {
    const seen = watch(page);
    const response = await page.goto(base + path);
    assert.equal(response.status(), 200, path);
    const headers = response.headers();
    assert.match(headers["content-security-policy"], /^default-src 'none'; style-src 'self'; img-src 'self';/);
    assert.equal(headers["x-content-type-options"], "nosniff");
    assert.equal(headers["referrer-policy"], "no-referrer");
    assert.equal(headers["cross-origin-opener-policy"], "same-origin");
    assert.ok(headers.etag, path);
    assert.equal(headers["set-cookie"], undefined);
    assert.deepEqual(seen.requests.filter((url) => !url.startsWith(`${origin}/`)), [], path);
    assert.deepEqual(seen.complaints, [], path);
    const body = await response.body();
    assert.ok(body.length <= PAGE_BYTES_MAX, `${path}: ${body.length} bytes`);
    assert.equal((await page.locator("script, style, [style], iframe, object, embed, form").count()), 0, path);
    page.removeAllListeners();
  }
  await ctx.close();
});

test("first screen, whole weight with style and pictures", async () => {
  const ctx = await context();
  const page = await ctx.newPage();
  const bodies = [];
  page.on("response", (response) => bodies.push(response.body()));
  await page.goto(base, { waitUntil: "networkidle" });
  const bytes = (await Promise.all(bodies)).reduce((sum, body) => sum + body.length, 0);
  assert.ok(bytes > 10_000 && bytes <= PAGE_BYTES_MAX, `${bytes} bytes`);
  await ctx.close();
});

test("without JavaScript everything is there, and links lead on", async () => {
  const ctx = await context({ javaScriptEnabled: false });
  const page = await ctx.newPage();
  await page.goto(`${origin}/`);
  assert.equal(page.url(), base);
  for (const text of ["Cameras", "Reads are kept", "Requests in November 2026", "Last self-test", "Who holds the keys"]) {
    assert.ok((await page.locator("main").innerText()).includes(text), text);
  }
  await follow(page.getByRole("link", { name: /All 600 entries/ }));
  await page.getByText("By decision").click();
  await follow(page.locator("details[open] a", { hasText: "Refused" }));
  assert.match(page.url(), /decision\/refused\.html$/);
  await follow(page.locator(".entries a").first());
  assert.match(page.url(), /entry\/[0-9a-f]{64}\.html$/);
  assert.ok((await page.locator("h1").innerText()).includes("asked about one plate"));
  await follow(page.getByRole("link", { name: "Español" }));
  assert.match(page.url(), /\/es\/entry\/[0-9a-f]{64}\.html$/);
  assert.equal(await page.locator("html").getAttribute("lang"), "es-US");
  assert.ok((await page.locator("main").innerText()).includes("Compruébelo usted"));
  await follow(page.getByRole("link", { name: "Resumen" }));
  assert.match(page.url(), /\/register\/es\/index\.html$/);
  await ctx.close();
});

test("the folder works from file://", async () => {
  const ctx = await context({ javaScriptEnabled: false });
  const page = await ctx.newPage();
  const seen = watch(page);
  await page.goto(pathToFileURL(join(folder, "plain", "index.html")).href);
  const colour = await page.locator(".band").evaluate((element) => getComputedStyle(element).backgroundColor);
  assert.notEqual(colour, "rgba(0, 0, 0, 0)", "the style sheet is applied");
  const drawn = await page.locator("figure img").first().evaluate((image) => image.naturalWidth);
  assert.ok(drawn > 0, "the chart is drawn");
  await follow(page.getByRole("link", { name: "Monthly reports", exact: true }).first());
  await follow(page.locator("main table a").first());
  assert.match(page.url(), /report\/2026-11\.html$/);
  await follow(page.getByRole("link", { name: "Español" }));
  assert.match(page.url(), /es\/report\/2026-11\.html$/);
  assert.deepEqual(seen.complaints, []);
  assert.deepEqual(seen.requests.filter((url) => !url.startsWith("file://")), []);
  await ctx.close();
});

test("keyboard alone: skip link, every stop visible and in view, filters open, an entry is reached", async () => {
  const ctx = await context();
  const page = await ctx.newPage();
  for (const path of ["index.html", "entries.html", "how.html", "es/report/2026-11.html"]) {
    await page.goto(base + path);
    const stops = await page.evaluate(() =>
      [...document.querySelectorAll("a[href], summary")].filter((element) => element.checkVisibility()).length);
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.className), "skip", path);
    for (let stop = 0; stop < stops; stop += 1) {
      const state = await page.evaluate(focusState);
      assert.equal(state, "", `${path}, stop ${stop}`);
      await page.keyboard.press("Tab");
    }
    // The walk ends after the last link: no stop was counted that cannot be reached, and nothing holds the focus.
    assert.equal(await page.evaluate(() => document.activeElement === document.body || document.activeElement.className === "skip"), true, path);
  }
  await page.goto(`${base}entries.html`);
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "content");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.tagName), "SUMMARY");
  await page.keyboard.press("Enter");
  assert.equal(await page.locator("details[open]").count(), 1);
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await page.waitForURL(/agency\//);
  await ctx.close();
});

/// What is wrong with the element that has the focus; runs in the page.
function focusState() {
  const element = document.activeElement;
  const style = getComputedStyle(element);
  if (style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 2) return `no outline on ${element.outerHTML}`;
  const box = element.getBoundingClientRect();
  const seen = box.width > 0 && box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
  return seen ? "" : `not in view: ${element.outerHTML}`;
}

test("colour never alone: every badge has its word, and signs that are not read out", async () => {
  const ctx = await context();
  const page = await ctx.newPage();
  await page.goto(`${base}entries.html`);
  for (const badge of await page.locator(".badge").all()) {
    assert.match(await badge.innerText(), /\w{4}/);
    const sign = await badge.evaluate((element) => getComputedStyle(element, "::before").content);
    assert.notEqual(sign, "none");
  }
  await ctx.close();
});

test("on paper: no menus, black on white, addresses written out", async () => {
  const ctx = await context();
  const page = await ctx.newPage();
  await page.emulateMedia({ media: "print" });
  const entry = pages("plain").find((path) => path.startsWith("entry/"));
  await page.goto(base + entry);
  assert.equal(await page.locator("nav.site").isVisible(), false);
  assert.equal(await page.locator("h1").isVisible(), true);
  const after = await page.locator("a.address").first().evaluate((link) => getComputedStyle(link, "::after").content);
  assert.match(after, /https:/);
  await ctx.close();
});

test("the custody label is loud, before everything else, on every kind of page", async () => {
  const ctx = await context({ javaScriptEnabled: false });
  const page = await ctx.newPage();
  for (const path of kinds("loud")) {
    await page.goto(pathToFileURL(join(folder, "loud", path)).href);
    const first = page.locator("main > :first-child");
    assert.match(await first.innerText(), /One party can open everything|Una sola parte puede abrir todo/, path);
    const size = await page.locator(".label .loud").evaluate((element) => parseFloat(getComputedStyle(element).fontSize));
    assert.ok(size >= 20, `${size} px`);
  }
  await page.goto(pathToFileURL(join(folder, "plain", "index.html")).href);
  assert.equal(await page.locator(".label").count(), 0);
  await ctx.close();
});

test("what could not be checked is said on the first screen", async () => {
  const ctx = await context({ javaScriptEnabled: false });
  const page = await ctx.newPage();
  await page.goto(pathToFileURL(join(folder, "loud", "index.html")).href);
  const notice = await page.locator(".notice.bad").innerText();
  for (const text of ["Superior Court", "last checked on November 25, 2026", "never been reached", "contradict themselves"]) {
    assert.ok(notice.includes(text), `${text} in ${notice}`);
  }
  await ctx.close();
});

test("pictures for people to look at", { skip: !shots, timeout: 900_000 }, async () => {
  mkdirSync(shots, { recursive: true });
  const ctx = await context();
  const page = await ctx.newPage();
  for (const name of ["plain", "loud"]) {
    for (const path of kinds(name)) {
      for (const viewport of [WIDE, NARROW]) {
        await page.setViewportSize(viewport);
        await page.goto(pathToFileURL(join(folder, name, path)).href);
        const file = `${name}-${path.replaceAll("/", "_")}-${viewport.width}.png`;
        await page.screenshot({ path: join(shots, file), fullPage: true });
        assert.ok(statSync(join(shots, file)).size > 1_000);
      }
    }
  }
  await ctx.close();
});
