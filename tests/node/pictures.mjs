// Pictures of the pages for README, as scripts/screenshots.py asks for them. Argument: see browser.mjs, and "link".
import { browse, PATIENCE } from "./browser.mjs";

const asked = JSON.parse(process.argv[2]);
const { browser, page, errors, shot, sized } = await browse(asked);
const app = page.frameLocator("iframe");
/** The page's frame, once it looks as it shall. */
const shown = async (name, look) => {
  await page.waitForFunction((name) => document.querySelector("iframe")?.src.endsWith(name), name);
  let frame;
  while (!(frame = page.frames().find((each) => each.url().endsWith(name)))) await page.waitForEvent("framenavigated", { timeout: PATIENCE });
  await frame.waitForFunction(look, undefined, { timeout: PATIENCE });
  return frame;
};
/** A picture of a page at both widths, light and dark. What is out of the window is not painted, so the window grows. */
const everyLook = async (name, frame) => {
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    for (const width of [360, 1100]) {
      await sized(width);
      await frame.waitForFunction((most) => innerWidth <= most, width);
      const fits = () => Math.abs(innerHeight - document.documentElement.getBoundingClientRect().height) < 2;
      await frame.waitForFunction(fits);
      const bottom = await page.evaluate(() => Math.ceil(document.querySelector("iframe").getBoundingClientRect().bottom));
      await page.setViewportSize({ width, height: bottom });
      for (const each of [page, frame]) await each.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))));
      await shot(`${name}-${width}-${colorScheme}`);
    }
  }
};

await page.goto(asked.link);
await shown("gallery.html", () => document.querySelectorAll(".task").length >= 5);
await app.getByRole("button", { name: "Open: a red fox poster" }).click();
const pictures = () => document.images.length === 3 && [...document.images].every((each) => each.naturalWidth > 0);
await everyLook("gallery", await shown("gallery.html", pictures));
await page.getByRole("button", { name: "Money and machines" }).click();
const money = () => document.querySelectorAll("#running li").length === 1 && document.querySelector("#chart rect") && document.querySelector("#money").textContent;
await everyLook("spend", await shown("spend.html", money));
await browser.close();
if (errors.length) throw new Error(errors.join("\n"));
console.log("{}");
