// The pages without a host that shows them, as `novita-mcp gallery` serves them. Argument: see browser.mjs, and "link".
import { atRest, browse, faults, PATIENCE } from "./browser.mjs";

const asked = JSON.parse(process.argv[2]);
const { browser, page, errors, shot, sized } = await browse(asked);
const seen = { axe: {}, overflow: {}, ranges: [], requests: [] };
page.on("request", (request) => seen.requests.push([request.method(), request.url(), request.headers().referer ?? ""]));
page.on("response", (answer) => {
  if (answer.url().includes("/files/")) seen.ranges.push([answer.status(), answer.headers()["content-range"] ?? ""]);
});
const app = page.frameLocator("iframe");
/** The frame of a page, once it is there; its name is its address. */
const inFrame = async (name) => {
  await page.waitForFunction((name) => document.querySelector("iframe")?.src.endsWith(name), name);
  for (;;) {
    const found = page.frames().find((each) => each.url().endsWith(name));
    if (found) return found;
    await page.waitForEvent("framenavigated", { timeout: PATIENCE });
  }
};

// The link opens it; nothing of it is left in the address.
await page.goto(asked.link);
let frame = await inFrame("gallery.html");
await frame.waitForFunction(() => document.querySelectorAll(".task").length === 50, undefined, { timeout: PATIENCE });
seen.address = page.url();
await app.getByRole("button", { name: "Older: tasks" }).click();
await frame.waitForFunction(() => document.querySelectorAll(".task").length === 53, undefined, { timeout: PATIENCE });
seen.older = await app.getByRole("button", { name: "Older: tasks" }).count();
seen.headings = await app.locator("h2").allTextContents();
seen.axe.host = await faults(page);
seen.axe.list = await faults(frame);
await shot("alone-1100-light");

// A picture by its bytes; a film above 8 MB by this server's link, which can be sought.
await app.getByRole("button", { name: "Open: a fox in the snow" }).click();
await frame.waitForFunction(() => document.images.length === 1 && document.images[0].naturalWidth > 0, undefined, { timeout: PATIENCE });
seen.picture = await frame.evaluate(() => document.images[0].parentElement.dataset.source);
seen.buttons = await app.getByRole("button").allTextContents();
const saving = page.waitForEvent("download").catch(async (error) => {
  throw new Error(`${error.message}\nThe page said: ${await app.locator("#said").textContent()}`);
});
await atRest(page, frame);
await app.getByRole("button", { name: "Download: image 1" }).click();
seen.saved = (await saving).suggestedFilename();
await page.reload();
frame = await inFrame("gallery.html");
await app.getByRole("button", { name: "Open: a fox that runs" }).click();
await frame.waitForFunction(() => document.querySelector("video")?.readyState >= 1, undefined, { timeout: PATIENCE });
seen.film = await frame.evaluate(async () => {
  const film = document.querySelector("video");
  const sought = new Promise((resolve) => film.addEventListener("seeked", resolve, { once: true }));
  film.currentTime = film.duration / 2;
  await sought;
  return { source: film.parentElement.dataset.source, at: film.currentTime / film.duration, width: film.videoWidth, src: film.src };
});
await shot("alone-film-1100-light");
seen.overflow[360] = (await sized(360)) + (await frame.evaluate(() => document.documentElement.scrollWidth - innerWidth));
await shot("alone-film-360-light");
await sized(1100);

// Money and machines: a stop asks first.
await page.emulateMedia({ colorScheme: "dark" });
await page.getByRole("button", { name: "Money and machines" }).click();
frame = await inFrame("spend.html");
await frame.waitForFunction(() => document.querySelectorAll("#running li").length === 1 && document.querySelector("#chart rect"), undefined, { timeout: PATIENCE });
await shot("alone-spend-1100-dark");
seen.axe.spend = await faults(frame);
await app.getByRole("button", { name: "Stop: fox-den", exact: true }).click();
await frame.waitForFunction(() => document.querySelector(".question"), undefined, { timeout: PATIENCE });
seen.question = await app.locator(".question p").textContent();
await app.getByRole("button", { name: "Yes: stop: fox-den" }).click();
await frame.waitForFunction(() => /fox-den/.test(document.querySelector("#said").textContent), undefined, { timeout: PATIENCE });
seen.said = await app.locator("#said").textContent();

// Another browser, with the link that was used or without one, is told; nothing is shown to it.
const other = await (await browser.newContext()).newPage();
for (const [name, address] of [["used", asked.link], ["without", asked.link.replace(/#.*/, "")]]) {
  await other.goto("about:blank");
  await other.goto(address);
  await other.waitForFunction(() => !document.querySelector("#problem").hidden, undefined, { timeout: PATIENCE });
  seen[name] = await other.locator("#problem").textContent();
}
seen.errors = errors;
await browser.close();
console.log(JSON.stringify(seen));
