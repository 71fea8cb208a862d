// The gallery in a real browser. Argument: {"chromium", "pages", "server", "key", "shots"?}. Prints what was seen, as JSON.
import { faults, HOSTILE, hosted } from "./browser.mjs";

const asked = JSON.parse(process.argv[2]);
const FILE = `/home/me/${HOSTILE}\u202egnp.exe.png`;

const { browser, page, errors, shot, host, opened, frame, app, until } = await hosted(asked, "generate_video");
const seen = { page: opened };
const status = () => app.locator("#status").textContent();

// A video goes from progress to playing.
const begun = await host("call", "generate_video", { prompt: HOSTILE, duration: 5, wait_seconds: 0 });
await until(() => document.querySelector("#status").textContent.startsWith("Working") && !document.querySelector("#progress").hidden);
seen.working = { status: await status(), heading: await app.locator("h2").textContent() };
await shot("working-1100-light");
await page.waitForFunction(() => window.host.seen.calls.filter((each) => each.name === "get_task").length >= 2);
seen.polls = await page.evaluate(() => window.host.seen.calls.filter((each) => each.name === "get_task").map((each) => each.arguments));
await fetch(`${asked.pages}/advance`, { method: "POST" });
await until(() => document.querySelector("video")?.readyState >= 2);
await frame.evaluate(async () => {
  const video = document.querySelector("video");
  video.muted = true;
  await video.play();
});
await until(() => document.querySelector("video").currentTime > 0);
seen.video = await frame.evaluate(() => {
  const video = document.querySelector("video");
  return { width: video.videoWidth, source: video.parentElement.dataset.source, controls: video.controls, label: video.getAttribute("aria-label") };
});
await until(() => document.querySelector("#money").textContent);
seen.done = { status: await status(), money: await app.locator("#money").textContent(), facts: await app.locator(".facts").textContent() };
await page.waitForFunction(() => window.host.seen.context.length > 0);

// Hostile words and names are text.
seen.pwned = await frame.evaluate(() => window.pwned ?? null);
seen.tags = await frame.evaluate(() => ({ images: document.images.length, scripts: document.scripts.length, heading: document.querySelector("h2").textContent }));
seen.axe = { video: await faults(frame) };
await shot("video-1100-light");

// A button, by the keyboard.
await app.getByRole("button", { name: "Use as input: video 1" }).focus();
await page.keyboard.press("Enter");
await page.waitForFunction(() => window.host.seen.messages.length > 0);

// A file on the user's machine, with a name that is HTML: read as a resource or told by its path.
const file = { task_id: begun.task_id, index: 0, kind: "image", path: FILE, bytes: 9_000_000, width: 10, height: 10 };
await host("give", { structuredContent: { status: "succeeded", model: HOSTILE, artifacts: [file], text: HOSTILE, values: { x: HOSTILE } } });
await until((path) => document.querySelector("[data-source=poster] p")?.textContent === path, FILE);
seen.hostile = await frame.evaluate(() => ({ pwned: window.pwned ?? null, images: document.images.length, scripts: document.scripts.length }));

// An expired link is renewed.
await host("files", false);
const gone = { task_id: begun.task_id, index: 0, kind: "video", url: `${asked.server}/gone.mp4`, expires_at: "2020-01-01T00:00:00Z" };
await host("give", { structuredContent: { status: "succeeded", artifacts: [gone] } });
await until(() => document.querySelector("[data-source=expired]"));
seen.expired = await app.locator("[data-source=expired]").textContent();
await host("files", true);
await app.getByRole("button", { name: "Fetch again: video 1" }).click();
await until(() => document.querySelector("video")?.readyState >= 1);
seen.renewed = await frame.evaluate(() => document.querySelector("video").parentElement.dataset.source);

// Pictures, sounds, the list; narrow and dark.
await host("call", "generate_speech", { text: "Good evening.", wait_seconds: 45 });
await fetch(`${asked.pages}/advance`, { method: "POST" });
await until(() => document.querySelector("audio")?.readyState >= 1);
seen.audio = await frame.evaluate(() => document.querySelector("audio").duration > 0);
await host("call", "generate_image", { prompt: "a fox in the snow", count: 2, wait_seconds: 0 });
await fetch(`${asked.pages}/advance`, { method: "POST" });
await until(() => document.images.length === 2 && [...document.images].every((each) => each.naturalWidth > 0));
seen.alt = await app.locator("img").first().getAttribute("alt");
await shot("pictures-1100-light");
await host("theme", "dark");
await until(() => getComputedStyle(document.body).color === "rgb(254, 254, 254)");
for (const width of [360, 320]) {
  await page.setViewportSize({ width, height: 800 });
  await until((most) => innerWidth <= most, width);
  seen[`overflow-${width}`] = await frame.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
}
seen.axe.pictures = await faults(frame);
await shot("pictures-320-dark");
await host("call", "list_tasks", {});
await until(() => document.querySelectorAll(".task").length >= 3);
seen.axe.list = await faults(frame);
await shot("list-320-dark");
await page.setViewportSize({ width: 1100, height: 900 });
await shot("list-1100-dark");
await app.getByRole("button", { name: /^Open: Good evening/ }).click();
await until(() => document.querySelector("audio")?.readyState >= 1);

// An error is told; then the policy keeps the page from everything else.
await host("give", { isError: true, content: [{ type: "text", text: `It failed: ${HOSTILE}` }] });
await until(() => !document.querySelector("#problem").hidden);
seen.problem = await app.locator("#problem").textContent();
seen.blocked = await frame.evaluate(async ([server, pages]) => {
  const blocked = [];
  document.addEventListener("securitypolicyviolation", (event) => blocked.push(event.effectiveDirective));
  const tried = (tag, how) => new Promise((resolve) => {
    const made = document.createElement(tag);
    made.onerror = made.onload = () => resolve();
    how(made);
    document.body.append(made);
    setTimeout(resolve, 2000);
  });
  const fetched = await fetch(`${server}/healthz`).then(() => "read", () => "refused");
  await tried("img", (made) => (made.src = `${pages}/bundle`));
  await tried("script", (made) => (made.src = `${pages}/bundle`));
  await tried("script", (made) => (made.textContent = "window.pwned = 1"));
  await tried("iframe", (made) => (made.src = pages));
  return { fetched, blocked: [...new Set(blocked)].sort(), pwned: window.pwned ?? null };
}, [asked.server, asked.pages]);

// The host takes the page away: it looks no more.
await host("end");
seen.host = await page.evaluate(() => ({ messages: window.host.seen.messages, context: window.host.seen.context, heights: window.host.seen.heights.length }));
seen.errors = errors;
await browser.close();
console.log(JSON.stringify(seen));
