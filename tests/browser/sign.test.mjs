// A judge makes a passkey and signs an order with it: the commands as processes of their own, the pages in a real browser with
// Chromium's own authenticator.
//
//   LOCKPLATE      the program
//   CHROMIUM, SHOTS  see browser.mjs
//
// Texts and structure are tested, never pixels.

import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { follow, look, open } from "./browser.mjs";

const program = process.env.LOCKPLATE;
const JUDGE = "judge.district-court.example";
const ORDER = {
  kind: "search-warrant", issuer: JUDGE, court: "District Court of Invented County", docket: "26-0017",
  valid_from: "2026-11-23T20:12:41Z", valid_until: "2026-11-24T21:12:41Z", requester: "UVU8XkCz_Lgk_b6scswYiw", officer: "",
  owners: ["UVU8XkCz_Lgk_b6scswYiw"], plates: [{ state: "US-CT", text: "QXZ4471" }],
  window: ["2026-11-23T20:12:41Z", "2026-11-23T22:12:41Z"], purpose: "crimeInvestigation", offence: "felony", max_requests: 3,
  pdf: "", supersedes: "",
};

let browser, page, complaints, folder, port;
const running = new Set();

before(async () => {
  assert.ok(program, "LOCKPLATE must be set; use scripts/browser-test");
  folder = mkdtempSync(join(tmpdir(), "lockplate-sign-"));
  port = await freePort();
  ({ browser, page, complaints } = await open());
});

after(async () => {
  await browser?.close();
  for (const child of running) child.kill("SIGKILL");
  if (folder) rmSync(folder, { recursive: true, force: true });
});

function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer().on("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const found = probe.address().port;
      probe.close(() => resolve(found));
    });
  });
}

/// Starts the program; `line(pattern)` waits for a line of either stream, `ended` for its code and everything it said.
function start(...args) {
  const child = spawn(program, args, { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
  running.add(child);
  const lines = [], waiting = [];
  const hear = (text) => {
    lines.push(text);
    for (const wake of waiting.splice(0)) wake();
  };
  for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream }).on("line", hear);
  const ended = new Promise((resolve) => {
    child.on("close", (code) => {
      running.delete(child);
      resolve({ code, said: lines.join("\n") });
      for (const wake of waiting.splice(0)) wake();
    });
  });
  const line = async (pattern) => {
    for (;;) {
      const found = lines.map((text) => text.match(pattern)).find(Boolean);
      if (found) return found[1];
      if (!running.has(child)) throw new Error(`it ended first: ${lines.join("\n")}`);
      await new Promise((wake) => waiting.push(wake));
    }
  };
  return { line, ended };
}

const ADDRESS = /^Open this address in the person's browser: (\S+)$/;

test("a judge makes a passkey, and the terminal prints what the trust list says of it", async () => {
  const origin = `http://localhost:${port}`;
  const made = start(
    "sign", "new-passkey", "--name", JUDGE, "--out", "judge.json", "--listen", `127.0.0.1:${port}`, "--origin", origin, "--rp-id", "localhost",
  );
  await page.goto(await made.line(ADDRESS));
  await look(page, "sign-enrol");
  await page.locator("button.sign").click();
  const { code, said } = await made.ended;
  assert.equal(code, 0, said);
  assert.match(said, new RegExp(`^${JUDGE.replaceAll(".", "\\.")}\\+[0-9a-f]{8}\\+/`, "m"));
  assert.ok(said.includes(`for localhost at ${origin}`), said);
});

test("a charter takes the passkey of the judge from its file", async () => {
  const lockplate = async (...args) => {
    const { code, said } = await start(...args).ended;
    assert.equal(code, 0, said);
    return said;
  };
  const keepers = ["clerk", "auditor", "court"];
  mkdirSync(join(folder, "people"), { mode: 0o700 });
  for (const [at, name] of keepers.entries()) {
    const at_url = ["--host", `${name}.millbrook.example`, "--url", `https://127.0.0.1:${8441 + at}`];
    await lockplate("keeper", "init", "--folder", name, "--name", name, "--legal-entity", `Office ${at}`, ...at_url, "--human", `people/${name}.pem`);
  }
  const alpr = ["--host", "alpr.millbrook.example", "--url", "https://127.0.0.1:8444"];
  await lockplate("agency", "init", "--folder", "millbrook", "--name", "Millbrook Police Department", "--state", "CT", ...alpr);
  const signer = (await lockplate("sign", "new-key", "--key", "people/signer.pem", "--name", "clerk.millbrook.example")).trim();
  const terms = `keepers = ${JSON.stringify(keepers.map((name) => `${name}/card.json`))}
threshold = 2
epoch_seconds = 3600
retention_seconds = 1814400
policy_signers = ["${signer}"]
policy_quorum = 1
[[judge]]
name = "Judge of the trial"
court = "${ORDER.court}"
passkey = "judge.json"
`;
  writeFileSync(join(folder, "terms.toml"), terms);
  await lockplate("agency", "charter", "draft", "--folder", "millbrook", "--terms", "terms.toml");
  const { trust } = JSON.parse(readFileSync(join(folder, "millbrook/charter.draft"), "utf8"));
  const judge = trust.find((entry) => entry.role === "judge");
  assert.ok(judge.vkey.startsWith(`${JUDGE}+`), judge.vkey);
  assert.deepEqual([judge.court, judge.rp_id, judge.origins], [ORDER.court, "localhost", [`http://localhost:${port}`]]);
});

test("the judge reads the order, compares its words with the terminal's, and signs", async () => {
  writeFileSync(join(folder, "order.json"), JSON.stringify(ORDER));
  const sign = start("sign", "order.json", "--passkey", "judge.json", "--out", "warrant.auth", "--listen", `127.0.0.1:${port}`);
  const words = await sign.line(/^In words: (.+)$/);
  const address = await sign.line(ADDRESS);
  await page.goto(address);
  const text = await page.locator("main").innerText();
  for (const wanted of [ORDER.plates[0].text, ORDER.court, ORDER.docket, words]) assert.ok(text.includes(wanted), `${wanted}: ${text}`);
  await look(page, "sign-order");
  await follow(page.locator("a.tongue"));
  assert.ok((await page.locator("main").innerText()).includes(words));
  await look(page, "sign-order-es");
  // A finger that the device does not know signs nothing, and the page says so and can be used again.
  await page.verified(false);
  await page.locator("button.sign").click();
  await page.locator(".said.bad").waitFor();
  assert.ok(!existsSync(join(folder, "warrant.auth")));
  await page.verified(true);
  await page.locator("button.sign").click();
  const { code, said } = await sign.ended;
  assert.equal(code, 0, said);
  assert.match(said, /^Signed: warrant\.auth/m);
  const paper = readFileSync(join(folder, "warrant.auth"), "utf8");
  assert.ok(paper.includes("search-warrant") && !paper.includes(ORDER.plates[0].text), "the plate is only a digest in the paper");
  assert.ok(readFileSync(join(folder, "warrant.auth.disclosure-1"), "utf8").length > 0);
  await look(page, "sign-signed");
});

test("an order of another issuer is refused before any page is served", async () => {
  writeFileSync(join(folder, "other.json"), JSON.stringify({ ...ORDER, issuer: "judge.other-court.example" }));
  const { code, said } = await start("sign", "other.json", "--passkey", "judge.json", "--out", "other.auth", "--listen", `127.0.0.1:${port}`).ended;
  assert.notEqual(code, 0, said);
  assert.ok(!existsSync(join(folder, "other.auth")));
});

test("the browser had nothing to complain about but the finger that was meant to fail", () => {
  const meant = /status of 403|NotAllowedError|pubKeyCredParams is missing/;
  assert.deepEqual(complaints.filter((text) => !meant.test(text)), []);
});
