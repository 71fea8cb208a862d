// What a user does in the gallery: buttons, files too large to be read, links that have died. Argument: see browser.mjs.
// Prints what was seen, as JSON.
import { hosted } from "./browser.mjs";

const asked = JSON.parse(process.argv[2]);
const LARGE = 9_000_000;
const STILL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const { browser, page, errors, host, frame, app, until } = await hosted(asked, "generate_image");
const seen = {};
const advance = () => fetch(`${asked.pages}/advance`, { method: "POST" });
const named = (name) => app.getByRole("button", { name, exact: true });
const told = (name) => page.evaluate((name) => window.host.seen[name], name);
const heard = (words) => until((words) => document.querySelector("#said").textContent.includes(words), words);
const shown = (what) => until((what) => [...document.querySelectorAll("[data-source]")].some((each) => each.dataset.source === what), what);

// A clip in the making: how much time is left. Asked for again it is the same; once the page has shown it, another.
const CLIP = { prompt: "a fox looks up", duration: 5, wait_seconds: 0, confirm: true };
const clip = await host("call", "generate_video", CLIP);
await until(() => /about \d+ s left/.test(document.querySelector("#status").textContent));
seen.working = await app.locator("#status").textContent();
seen.while = (await host("quietly", "generate_video", CLIP)).task_id === clip.task_id;
await advance();
await until(() => document.querySelector("video")?.readyState >= 1);
await until(() => document.querySelector("#status").textContent === "Done.");
seen.after = (await host("quietly", "generate_video", CLIP)).task_id === clip.task_id;
await advance();

// Pictures: variants and a download.
const begun = await host("call", "generate_image", { prompt: "a fox in the snow", count: 2, wait_seconds: 0 });
await advance();
await until(() => document.images.length === 2 && [...document.images].every((each) => each.naturalWidth > 0));
await named("Variants: image 2").click();
await heard("asked for in the chat");
await named("Use as input: image 1").click();
await heard("is in the chat");
seen.messages = (await told("messages")).map((each) => each.replaceAll(begun.task_id, "ID"));
await named("Download: image 1").click();
await heard("Saved");
seen.download = (await told("downloads")).map(({ uri, mimeType, blob }) => [uri.replace(begun.task_id, "ID"), mimeType, atob(blob).slice(1, 4)]);

// Larger than is read: by its link from a host that may be shown; from another, a still and the path, which can be copied.
const { artifacts: [picture] } = await host("quietly", "get_task", { task_id: begun.task_id });
await host("give", { structuredContent: { status: "succeeded", task_id: begun.task_id, artifacts: [{ ...picture, bytes: LARGE }] } });
await until((url) => document.images[0]?.src === url && document.images[0].naturalWidth > 0, picture.url);
seen.link = await frame.evaluate(() => document.images[0].parentElement.dataset.source);
await host("give", { structuredContent: { status: "succeeded", artifacts: [{ ...picture, task_id: undefined, bytes: LARGE }] } });
// The card before it was shown by its link too; this one has no task to name.
await until(() => document.querySelector("[data-source=link]") && !document.querySelector("[aria-label^='Use as input']"));
await named("Download: image 1").click();
await page.waitForFunction(() => window.host.seen.opened.length === 1);
seen.opened = (await told("opened"))[0] === picture.url;
const path = "/home/me/fox in the snow.png";
const elsewhere = { ...picture, bytes: LARGE, path, url: picture.url.replace("//", "//other.") };
await host("give", {
  structuredContent: { status: "succeeded", artifacts: [elsewhere] },
  content: [{ type: "image", data: STILL, mimeType: "image/png" }],
});
await until((path) => document.querySelector("[data-source=poster] p")?.textContent === path, path);
await until(() => document.images[0]?.naturalWidth === 1);
seen.still = await app.locator("img").getAttribute("alt");
await named("Copy path: image 1").click();
await heard("Copied:");
seen.copied = await page.evaluate(() => {
  const field = document.body.appendChild(document.createElement("textarea"));
  field.id = "pasted";
  field.focus();
  return document.activeElement === field;
});
await page.keyboard.press("Control+V");
seen.pasted = await page.locator("#pasted").inputValue();

// A link that has expired: it is told, and fetched again from Novita.
const links = (seconds) => fetch(`${asked.pages}/set`, { method: "POST", body: JSON.stringify({ link_ttl: seconds }) });
await links(4); // Long enough for the server to fetch the file on a busy machine.
const brief = await host("call", "generate_video", { ...CLIP, prompt: "a fox looks away" });
await advance();
await until(() => document.querySelector("#status").textContent === "Done.");
const { artifacts: [film] } = await host("quietly", "get_task", { task_id: brief.task_id });
await page.waitForFunction((end) => Date.now() > Date.parse(end), film.expires_at);
await links(3600);
await host("give", { structuredContent: { status: "succeeded", task_id: brief.task_id, artifacts: [{ ...film, bytes: LARGE }] } });
await shown("expired");
seen.expired = await app.locator("[data-source=expired]").textContent();
await named("Fetch again: video 1").click();
await until(() => document.querySelector("video")?.readyState >= 1);
seen.renewed = await frame.evaluate((old) => document.querySelector("video").src !== old, film.url);

await host("end");
seen.errors = errors;
await browser.close();
console.log(JSON.stringify(seen));
