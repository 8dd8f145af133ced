// What every page with a passkey needs of a browser: Chromium with an authenticator of its own, and a look at what it shows.
//
//   CHROMIUM       the browser's binary
//   SHOTS          folder for pictures of every page; none are taken without it

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { AxeBuilder } from "@axe-core/playwright";
import { chromium } from "playwright-core";

const shots = process.env.SHOTS;
export const NARROW = { width: 320, height: 640 };
const WIDE = { width: 1100, height: 800 };

/// The browser, one page, and what the page complained about. `page.verified(false)`: a person whose finger is not known.
export async function open() {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || undefined,
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
  const complaints = [];
  const page = await (await browser.newContext({ viewport: WIDE })).newPage();
  page.setDefaultTimeout(20_000);
  page.on("console", (message) => complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => assert.equal(new URL(request.url()).hostname, "localhost"));
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("WebAuthn.enable");
  const options = {
    protocol: "ctap2", ctap2Version: "ctap2_1", transport: "internal", hasResidentKey: true, hasUserVerification: true,
    isUserVerified: true, automaticPresenceSimulation: true,
  };
  const { authenticatorId } = await devtools.send("WebAuthn.addVirtualAuthenticator", { options });
  page.verified = (isUserVerified) => devtools.send("WebAuthn.setUserVerified", { authenticatorId, isUserVerified });
  return { browser, page, complaints };
}

/// Follows a link and waits for the page behind it: a click alone does not, on a busy machine.
export async function follow(link) {
  await Promise.all([link.page().waitForEvent("load"), link.click()]);
}

/// Both widths: no fault that axe knows, nothing wider than the screen; a picture where pictures are wanted.
export async function look(page, name) {
  for (const viewport of [WIDE, NARROW]) {
    await page.setViewportSize(viewport);
    const { violations, passes } = await new AxeBuilder({ page }).analyze();
    assert.ok(passes.length > 10, `axe looked at ${name}`);
    assert.deepEqual(violations.map((one) => `${name} at ${viewport.width}: ${one.id}: ${one.nodes[0].html}`), []);
    const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.ok(over <= 0, `${name} at ${viewport.width}: ${over} px too wide`);
    if (shots) {
      mkdirSync(shots, { recursive: true });
      await page.screenshot({ path: join(shots, `${name}-${viewport.width}.png`), fullPage: true });
    }
  }
  await page.setViewportSize(WIDE);
}
