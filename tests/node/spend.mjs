// Money and machines in a real browser. Argument: see browser.mjs. Prints what was seen, as JSON.
import { faults, HOSTILE, hosted } from "./browser.mjs";

const asked = JSON.parse(process.argv[2]);
const MACHINE = { image: "docker.io/a/b:1", gpu: "3090", confirm: true, wait_seconds: 0 };
const { browser, page, errors, shot, sized, host, opened, frame, app, until } = await hosted(asked, "get_bill");
const seen = { page: opened, axe: {}, overflow: {} };
const calls = () => page.evaluate(() => window.host.seen.calls);
const confirmed = async () => (await calls()).filter((each) => each.arguments.confirm !== undefined);
const advance = () => fetch(`${asked.pages}/advance`, { method: "POST" });
const named = (name) => app.getByRole("button", { name, exact: true });
const text = (where) => app.locator(where).textContent();
/** What is drawn: millionths of a dollar by day. */
const drawn = () =>
  frame.evaluate(() => {
    const days = {};
    for (const bar of document.querySelectorAll("#chart rect[data-span]")) {
      days[bar.dataset.span] = (days[bar.dataset.span] ?? 0) + Number(bar.dataset.micro);
    }
    return days;
  });
/** How high each day's bars stand, in millionths by the lines' own measure, and how high they should: a part is a pixel at least. */
const measured = () =>
  frame.evaluate(() => {
    const lines = [...document.querySelectorAll("#chart line")].map((line) => Number(line.getAttribute("y1")));
    const amounts = [...document.querySelectorAll("#chart text")].slice(0, lines.length).map((each) => Number(each.textContent.slice(1)));
    const scale = (amounts.at(-1) * 1e6) / (lines[0] - lines.at(-1));
    const days = {};
    for (const bar of document.querySelectorAll("#chart rect[data-span]")) {
      const [high, due] = days[bar.dataset.span] ?? [0, 0];
      days[bar.dataset.span] = [high + Number(bar.getAttribute("height")) * scale, due + Math.max(Number(bar.dataset.micro), scale)];
    }
    return days;
  });

// A machine with a lease and one without; then the bill is asked for in the chat.
for (const [name, more] of [["fox-den", { stop_after_hours: 3 }], ["left-alone", {}]]) {
  await host("quietly", "create_gpu_instance", { ...MACHINE, name, ...more });
}
await advance();
await host("call", "get_bill", { period: "last 7 days" });
await until(() => document.querySelectorAll("#chart rect[data-span]").length && document.querySelectorAll("#running li").length === 2);
seen.week = { days: await drawn(), measured: await measured(), spent: await text("#spent"), label: await app.locator("#chart svg").getAttribute("aria-label") };
seen.models = await app.locator("#tables > table tbody tr").evaluateAll((rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent)));
seen.hourly = await text("#hourly");
seen.lines = await app.locator("#running li").allTextContents();
await until(() => document.querySelector("#money").textContent);
seen.money = await text("#money");
seen.axe.light = await faults(frame);
await shot("spend-1100-light");
seen.overflow[360] = await sized(360, frame);
await shot("spend-360-light");
seen.overflow[1100] = await sized(1100, frame);

// Another period, from the page.
await app.getByLabel("Days").selectOption("last month");
await until((before) => document.querySelector("#chart svg")?.getAttribute("aria-label") !== before, seen.week.label);
seen.month = { days: await drawn(), label: await app.locator("#chart svg").getAttribute("aria-label") };

// A stop asks first, by the keyboard. No is no.
await named("Stop: fox-den").focus();
await page.keyboard.press("Enter");
await until(() => document.querySelector(".question"));
seen.question = await text(".question p");
seen.focus = await frame.evaluate(() => document.activeElement.textContent);
seen.axe.question = await faults(frame);
await shot("question-1100-light");
seen.beforeYes = await confirmed();
await page.keyboard.press("Enter");
await until(() => !document.querySelector(".question"));
seen.left = await text("#said");
seen.afterNo = await confirmed();

// Yes is a click on yes.
await named("Stop: fox-den").click();
await named("Yes: stop: fox-den").click();
const ticking = setInterval(advance, 500);
await until(() => /fox-den/.test(document.querySelector("#said").textContent));
clearInterval(ticking);
seen.said = await text("#said");
seen.afterYes = await confirmed();
await advance();
await named("Look again: what runs").click();
await until(() => document.querySelectorAll("#running li").length === 1);
seen.machines = (await host("quietly", "list_gpu_instances", {})).instances.map((each) => [each.name, each.state]);

// The emergency stop that the model asked for, and whose question it was shown: the page shows it too.
await host("call", "stop_everything", {});
await until(() => document.querySelector("#question .question"));
seen.everything = await text("#question p");
await host("theme", "dark");
await until(() => getComputedStyle(document.body).color === "rgb(254, 254, 254)");
seen.axe.dark = await faults(frame);
await shot("question-1100-dark");
seen.overflow[320] = await sized(320, frame);
seen.overflow[360] += await sized(360, frame);
await shot("question-360-dark");
await sized(1100, frame);
await named("Yes: stop everything: all machines and endpoints").click();
await until(() => /^Stopped: left-alone/.test(document.querySelector("#said").textContent));
await advance();
await named("Look again: what runs").click();
await until(() => document.querySelector("#hourly").textContent === "Nothing that costs.");
seen.names = [...new Set((await calls()).map((each) => each.name))].sort();

// Of an endpoint no worker is kept, and a sandbox is deleted, after their own questions; what is left is asked for.
await host("quietly", "create_endpoint", { image: "docker.io/a/b:1", port: 80, gpu: "4090", name: "web", min_workers: 1, confirm: true, wait_seconds: 0 });
await advance();
await host("quietly", "create_sandbox", { label: "box", confirm: true });
await host("call", "get_balance", {});
await until(() => document.querySelectorAll("#running li").length === 2);
seen.balance = await text("#money");
await named("Keep no workers: web").click();
await until(() => document.querySelector(".question"));
seen.endpoint = await text(".question p");
await named("Yes: keep no workers: web").click();
await until(() => /^web/.test(document.querySelector("#said").textContent) && !document.querySelector(".question"));
await named("Delete: box").click();
await until(() => document.querySelector(".question"));
seen.sandbox = await text(".question p");
await named("Yes: delete: box").click();
await until(() => /deleted/.test(document.querySelector("#said").textContent));
await advance();
await named("Look again: what runs").click();
await until(() => document.querySelector("#hourly").textContent === "Nothing that costs.");
seen.stops = (await confirmed()).map((each) => each.name);

// A bill by month stands by month.
await host("call", "get_bill", { period: "last 3 months", kind: "monthly" });
await until(() => {
  const bars = [...document.querySelectorAll("#chart rect[data-span]")];
  return bars.length >= 3 && bars.every((bar) => /^\d{4}-\d\d$/.test(bar.dataset.span));
});
seen.monthly = { days: await drawn(), spent: await text("#spent") };

// What others wrote is text; an error is told.
const day = "2026-10-05";
const row = { day, product: HOSTILE, kind: "usage", usd: "1.50" };
const line = { instance_id: HOSTILE, name: HOSTILE, state: HOSTILE, product: HOSTILE, usd_per_hour: "2.5", lease: HOSTILE };
const bill = { first_day: day, last_day: day, total_usd: "1.50", total_rows: 1, rows: [row], note: HOSTILE };
await host("give", { structuredContent: { ...bill, instances: [line], total: 3 } });
await until((name) => document.querySelector("#running h3")?.textContent === name, HOSTILE);
await until((name) => document.querySelector("#tables td")?.textContent === name, HOSTILE);
seen.hostile = await frame.evaluate(() => ({ pwned: window.pwned ?? null, images: document.images.length, scripts: document.scripts.length }));
seen.besides = await text("#hourly");
await shot("hostile-1100-dark");
await host("give", { isError: true, content: [{ type: "text", text: `It failed: ${HOSTILE}` }] });
await until(() => !document.querySelector("#problem").hidden);
seen.problem = await text("#problem");
seen.fetched = await frame.evaluate((server) => fetch(`${server}/healthz`).then(() => "read", () => "refused"), asked.server);
await host("end");
seen.errors = errors;
await browser.close();
console.log(JSON.stringify(seen));
