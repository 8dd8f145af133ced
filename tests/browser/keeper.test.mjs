// The keeper's own page in a real browser, with Chromium's own authenticator: a person enrols, signs in, approves and refuses.
//
//   KEEPER_DIR     folder of `keeper_town`: enrol, page (addresses), answers (the decisions in the keeper's log)
//   CHROMIUM, SHOTS  see browser.mjs
//
// Texts and structure are tested, never pixels.

import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { follow, look, open, NARROW } from "./browser.mjs";

const folder = process.env.KEEPER_DIR;
const PLATE = "AB12345";

let browser, page, complaints, home;

before(async () => {
  assert.ok(folder, "KEEPER_DIR must be set; use scripts/browser-test");
  ({ browser, page, complaints } = await open());
});

after(async () => browser?.close());

async function said(name) {
  for (let tenth = 0; tenth < 1_200; tenth += 1) {
    if (existsSync(join(folder, name))) return readFileSync(join(folder, name), "utf8").trim();
    await sleep(100);
  }
  throw new Error(`${name} was not written`);
}

/// Waits until the keeper's log holds so many decisions.
async function decisions(count) {
  for (let tenth = 0; tenth < 300; tenth += 1) {
    const lines = (await said("answers")).split("\n").filter(Boolean);
    if (lines.length >= count) return lines;
    await sleep(100);
  }
  throw new Error("the decision is not in the log");
}

const heading = () => page.locator("h1").innerText();
const tongue = () => follow(page.locator("a.tongue"));

test("a person makes a passkey, in either language, and a device that does not know the person makes none", async () => {
  const url = await said("enrol");
  await page.goto(url);
  assert.equal(await heading(), "Make your passkey");
  await look(page, "keeper-enrol");
  await tongue();
  assert.equal(await heading(), "Cree su llave de acceso");
  await look(page, "keeper-enrol-es");
  await page.verified(false);
  await page.locator("button.sign").click();
  await page.locator(".said.bad").waitFor();
  await page.verified(true);
  await page.locator("button.sign").click();
  await page.locator("h1", { hasText: "Listo" }).waitFor();
  await look(page, "keeper-enrolled-es");
});

test("a stranger reads nothing, and the clerk signs in with the keyboard alone", async () => {
  home = `${await said("page")}/`;
  await page.goto(home);
  assert.equal(await heading(), "Sign in");
  assert.ok(!(await page.content()).includes(PLATE));
  await look(page, "keeper-sign-in");
  await tongue();
  await look(page, "keeper-sign-in-es");
  await tongue();
  // Skip link, other language, button.
  for (let at = 0; at < 3; at += 1) await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.className), "sign");
  await page.keyboard.press("Enter");
  await page.locator(".entries").waitFor();
  assert.equal(await page.locator(".entries > li").count(), 3);
  await look(page, "keeper-waiting");
  await tongue();
  assert.equal(await page.locator(".lead").innerText(), "3 solicitudes esperan respuesta. La más antigua va primero.");
  await look(page, "keeper-waiting-es");
});

test("the clerk reads a card and approves it, with the keyboard alone", async () => {
  await page.goto(home);
  await follow(page.locator(".entries a").first());
  const text = await page.locator("main").innerText();
  for (const wanted of [PLATE, "Millbrook Police Department", "26-1234", "What the machine has checked", "What you judge"]) {
    assert.ok(text.includes(wanted), wanted);
  }
  await look(page, "keeper-card");
  await tongue();
  assert.ok((await page.locator("main").innerText()).includes("Lo que usted decide"));
  await look(page, "keeper-card-es");
  await tongue();
  await page.locator('input[value="approve"]').focus();
  await page.keyboard.press("Space");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.className), "sign");
  await page.keyboard.press("Enter");
  await page.locator("h1", { hasText: "Your answer is in the record" }).waitFor();
  assert.ok((await page.locator("main").innerText()).includes("You approved the request."));
  await look(page, "keeper-approved");
  assert.deepEqual(await decisions(1), ["Approve None"]);
});

test("no touch, no answer; a refusal has its reason", async () => {
  await page.goto(`${home}es/`);
  assert.equal(await page.locator(".entries > li").count(), 2);
  await follow(page.locator(".entries a").first());
  await page.verified(false);
  await page.locator('input[value="doubt"]').check();
  await page.locator("button.sign").click();
  await page.locator(".said.bad").waitFor();
  await look(page, "keeper-card-failed-es");
  assert.equal((await decisions(1)).length, 1, "nothing was decided");
  await page.verified(true);
  await page.locator("button.sign").click();
  await page.locator("h1", { hasText: "Su respuesta quedó registrada" }).waitFor();
  await look(page, "keeper-refused-es");
  assert.deepEqual(await decisions(2), ["Approve None", "Refuse Some(Doubt)"]);
});

test("an answered request does not wait; a session that is over asks for the passkey again", async () => {
  await page.goto(home);
  const card = await page.locator(".entries a").first().getAttribute("href");
  await page.goto(`${home}request/${"0".repeat(64)}`);
  assert.equal(await heading(), "That did not work");
  await look(page, "keeper-gone");
  await page.goto(home);
  await page.locator("form.out button").click();
  await page.locator("h1", { hasText: "Sign in" }).waitFor();
  await page.goto(new URL(card, home).href);
  assert.equal(await heading(), "Sign in");
  assert.ok(!(await page.content()).includes(PLATE));
});

test("without scripts the page says what the passkey needs, and can be read", async () => {
  const plain = await browser.newContext({ javaScriptEnabled: false, viewport: NARROW });
  const bare = await plain.newPage();
  await bare.goto(home);
  assert.ok((await bare.locator("main").innerText()).includes("Your passkey needs a browser with scripts switched on."));
  assert.equal(await bare.locator("button.sign").isDisabled(), true);
  await plain.close();
});

test("the browser had nothing to complain about but the requests that were meant to fail", () => {
  // RSA is not offered on purpose: the keeper does not take it.
  const meant = /status of 404|status of 403|NotAllowedError|pubKeyCredParams is missing/;
  assert.deepEqual(complaints.filter((text) => !meant.test(text)), []);
});
