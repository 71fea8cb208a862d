// The page for a Novita key, in a real browser. Argument: {"chromium", "link", "other", "key"}. Prints what was seen.
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const asked = JSON.parse(process.argv[2]);
const axe = await readFile(fileURLToPath(new URL("node_modules/axe-core/axe.min.js", import.meta.url)), "utf8");
const flags = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"];
const browser = await chromium.launch({ executablePath: asked.chromium, args: flags });
const page = await browser.newPage();
page.setDefaultTimeout(90_000);
const violations = [];
page.on("console", (message) => {
  if (/Content Security Policy/i.test(message.text())) violations.push(message.text());
});
const seen = {};
const text = () => page.locator("main").innerText();

await page.goto(asked.link);
seen.shown = await text();
seen.scripts = await page.evaluate(() => document.scripts.length);
await page.evaluate(axe);
const found = await page.evaluate(() => window.axe.run(document));
seen.accessibility = found.violations.filter((each) => ["serious", "critical"].includes(each.impact)).map((each) => each.id);
seen.shownAt = page.url();
await page.getByLabel("New key").fill(asked.key);
await page.keyboard.press("Enter");
seen.withoutTheTick = page.url();
await page.getByLabel(/this is my key/).check();
await page.getByRole("button", { name: "Store this key" }).focus();
await page.keyboard.press("Enter");
await page.getByRole("heading", { name: "Done" }).waitFor();
seen.done = await text();
seen.keyInAddress = page.url().includes(asked.key);
seen.violations = [...violations];

// A page of another site: it frames ours, and sends a form of a link that it has itself.
const form = /name="form" value="([^"]+)"/.exec(await (await fetch(asked.other)).text())[1];
const ours = new URL(asked.other);
const strange = createServer((request, response) => {
  response.setHeader("Content-Type", "text/html");
  response.end(
    request.url === "/frame"
      ? `<iframe src="${asked.other}"></iframe>`
      : `<form method="post" action="${ours.origin}/key">${Object.entries({ form, key: asked.key, mine: "yes", do: "keep" })
          .map(([name, value]) => `<input name="${name}" value="${value}">`)
          .join("")}<input type="submit" id="go" name="x"></form>`,
  );
});
await new Promise((listening) => strange.listen(0, "127.0.0.1", listening));
const at = `http://localhost:${strange.address().port}`;
await page.goto(`${at}/frame`, { waitUntil: "load" });
const framed = page.frames().find((each) => each !== page.mainFrame());
seen.framed = (await framed.locator("body").innerText().catch(() => "")).includes("Novita");
await page.goto(asked.other); // so that this browser has a cookie of ours
await page.goto(`${at}/form`);
await page.locator("#go").click();
await page.locator("main").waitFor();
seen.forged = await text();
strange.close();
await browser.close();
console.log(JSON.stringify(seen));
