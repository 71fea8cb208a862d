// What every run of a page in a browser begins with. Argument of a run: {"chromium", "pages", "server", "key", "shots"?}.
import { build } from "esbuild";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

export const PATIENCE = 90_000;
export const HOSTILE = '<img src=x onerror="window.pwned=1">&lt;b&gt;<script>window.pwned=1</script>';
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--autoplay-policy=no-user-gesture-required"];
const here = (name) => fileURLToPath(new URL(name, import.meta.url));

/** A browser with one page. `shot` takes pictures where somebody wants to look at them. */
export async function browse(asked) {
  const browser = await chromium.launch({ executablePath: asked.chromium, args: FLAGS });
  const page = await browser.newPage({ viewport: { width: 1100, height: 900 } });
  page.setDefaultTimeout(PATIENCE);
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  const shot = async (name) => {
    if (asked.shots) await page.screenshot({ path: `${asked.shots}/${name}.png`, fullPage: true });
  };
  const sized = async (width, frame = page) => {
    await page.setViewportSize({ width, height: 900 });
    await frame.waitForFunction((most) => innerWidth <= most, width);
    return frame.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  };
  return { browser, page, errors, shot, sized };
}

/** Until the host has given the frame the height of its page. A click while they move may come down beside its button. */
export async function atRest(page, frame) {
  for (;;) {
    const wanted = await frame.evaluate(() => Math.ceil(document.documentElement.getBoundingClientRect().height));
    const given = await page.evaluate(() => new Promise((seen) => requestAnimationFrame(() => seen(parseFloat(document.querySelector("iframe").style.height)))));
    if (wanted === given) return;
  }
}

/** The host's page, with the page of a tool in its frame. */
export async function hosted(asked, tool, theme = "light") {
  const bundle = await build({ entryPoints: [here("host.mjs")], bundle: true, write: false, format: "esm", logLevel: "error" });
  await fetch(`${asked.pages}/bundle`, { method: "PUT", body: bundle.outputFiles[0].text });
  const made = await browse(asked);
  const { page } = made;
  await page.goto(`${asked.pages}/?server=${encodeURIComponent(`${asked.server}/mcp`)}&key=${asked.key}`);
  await page.waitForFunction(() => window.host);
  const host = (name, ...rest) => page.evaluate(([name, rest]) => window.host[name](...rest), [name, rest]);
  const opened = await host("open", tool, theme);
  const frame = page.frames().find((each) => each !== page.mainFrame());
  const until = (look, argument) => frame.waitForFunction(look, argument, { timeout: PATIENCE });
  return { ...made, host, opened, frame, app: page.frameLocator("iframe[title=app]"), until };
}

/** What axe finds that is serious; read in the page's own world, since its policy lets no other script in. */
export async function faults(frame) {
  await frame.evaluate(await readFile(here("node_modules/axe-core/axe.min.js"), "utf8"));
  const { violations } = await frame.evaluate(() => window.axe.run(document));
  return violations.filter((each) => ["serious", "critical"].includes(each.impact)).map((each) => `${each.id}: ${each.nodes[0].html}`);
}
