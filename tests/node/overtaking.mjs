// Answers that overtake each other, in a real browser. Argument: see browser.mjs. Prints what was seen, as JSON.
import { hosted } from "./browser.mjs";

const asked = JSON.parse(process.argv[2]);
const seen = { errors: [] };

/** What a test of one page needs. `settled` comes back when the page has heard all that was let go before. */
async function opened(tool) {
  const made = await hosted(asked, tool);
  let dark = false;
  const settled = async () => {
    dark = !dark;
    await made.host("theme", dark ? "dark" : "light");
    await made.until((colour) => getComputedStyle(document.body).color === colour, dark ? "rgb(254, 254, 254)" : "rgb(1, 1, 1)");
  };
  const asks = (name, least) =>
    made.page.waitForFunction(
      ([name, least]) => window.host.seen.calls.filter((each) => each.name === name).length >= least, [name, least],
    );
  const named = (name) => made.app.getByRole("button", { name, exact: true });
  const end = async () => {
    seen.errors.push(...made.errors);
    await made.browser.close();
  };
  return { ...made, settled, asks, named, end };
}

// Money and machines: the lines are made anew while a question is on its way to one of them.
const money = await opened("get_bill");
await money.host("quietly", "create_sandbox", { label: "box", confirm: true });
await money.host("call", "get_bill", { period: "last 7 days" });
await money.until(() => document.querySelectorAll("#running li").length === 1);
await money.host("hold", "delete_sandbox");
await money.named("Delete: box").click();
await money.asks("delete_sandbox", 1);
await money.frame.evaluate(() => (document.querySelector("#running li").dataset.old = ""));
await money.named("Look again: what runs").click();
await money.until(() => document.querySelector("#running li") && !document.querySelector("#running li[data-old]"));
await money.host("letGo", "delete_sandbox");
await money.until(() => document.querySelector("#running li .question"));
await money.named("No, leave it: box").click();

// And when its line is gone.
await money.host("hold", "delete_sandbox");
await money.named("Delete: box").click();
await money.asks("delete_sandbox", 2);
const { sandbox_id } = (await money.page.evaluate(() => window.host.seen.calls)).find((each) => each.name === "delete_sandbox").arguments;
await money.host("quietly", "delete_sandbox", { sandbox_id, confirm: true });
await money.named("Look again: what runs").click();
await money.until(() => document.querySelector("#hourly").textContent === "Nothing that costs.");
await money.host("letGo", "delete_sandbox");
await money.until(() => document.querySelector("#question .question"));
await money.named("No, leave it: box").click();

// An older look comes in after a newer one.
const looks = (await money.page.evaluate(() => window.host.seen.calls)).filter((each) => each.name === "list_tasks").length;
await money.host("hold", "list_tasks");
await money.named("Look again: what runs").click();
await money.asks("list_tasks", looks + 1);
await money.host("quietly", "create_sandbox", { label: "newer", confirm: true });
await money.host("call", "get_bill", { period: "last 7 days" });
await money.until(() => document.querySelectorAll("#running li").length === 1);
await money.host("letGo", "list_tasks");
await money.settled();
seen.lines = await money.app.locator("#running h3").allTextContents();

// An older balance.
await money.host("hold", "get_balance");
await money.host("call", "get_bill", { period: "last 7 days" });
await money.host("give", { structuredContent: { available_usd: "7.25", owed_usd: "0" } });
await money.until(() => document.querySelector("#money").textContent === "Balance left: $7.25");
await money.host("letGo", "get_balance");
await money.settled();
seen.money = await money.app.locator("#money").textContent();
await money.end();

// The gallery: two tasks are opened, and the first one's answer comes last.
const gallery = await opened("generate_image");
for (const prompt of ["a slow fox", "a quick fox"]) {
  await gallery.host("quietly", "generate_image", { prompt, confirm: true });
}
await gallery.host("call", "list_tasks", {});
await gallery.until(() => document.querySelectorAll(".task").length > 1);
await gallery.host("hold", "get_task");
await gallery.named("Open: a slow fox").click();
await gallery.asks("get_task", 1);
await gallery.named("Open: a quick fox").click();
await gallery.until(() => document.querySelector("img")?.alt === "a quick fox");
await gallery.host("letGo", "get_task");
await gallery.settled();
seen.opened = await gallery.app.locator("h2").allTextContents();

// The model asks for the list while a task is being opened.
await gallery.host("call", "list_tasks", {});
await gallery.until(() => document.querySelectorAll(".task").length > 1);
await gallery.host("hold", "get_task");
await gallery.named("Open: a slow fox").click();
await gallery.asks("get_task", 3);
await gallery.host("call", "list_tasks", { limit: 1 });
await gallery.until(() => document.querySelectorAll(".task").length === 1);
await gallery.host("letGo", "get_task");
await gallery.settled();
seen.listed = { tasks: await gallery.app.locator(".task").count(), images: await gallery.app.locator("img").count() };
await gallery.end();
console.log(JSON.stringify(seen));
