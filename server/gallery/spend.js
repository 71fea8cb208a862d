// The page of money and machines: shows what was billed by day and model, what runs now, and the balance.
const PERIODS = ["last 7 days", "this month", "last month", "last 3 months"];
const MOST_ROWS = 1000, MOST_PAGES = 5;
let drawn = null;
/** The width for which the chart was drawn. */
let width = 0;

/** Show the answer of a tool, whether the model or this page called it, and ask for what it does not contain. */
async function take(answer) {
  const result = answer.structuredContent;
  const failed = answer.isError || !result || typeof result !== "object";
  const text = (answer.content ?? []).filter((each) => each.type === "text").map((each) => each.text).join("\n");
  show("problem", failed ? text || "The tool failed." : "");
  show("status", failed ? "It did not work." : "");
  const given = failed ? {} : result;
  if (Array.isArray(given.stopped)) {
    if (given.status === "needs_confirmation") question(...EVERYTHING, {}, given);
    else told(given);
  }
  const bill = Array.isArray(given.rows) ? given : null;
  await Promise.all([
    running(Array.isArray(given.instances) ? given : undefined),
    bill ? spent(bill.first_day === bill.last_day ? bill.first_day : `${bill.first_day} to ${bill.last_day}`, bill) : spent(PERIODS[0]),
    balance(given.available_usd === undefined ? null : given),
  ]);
}

async function balance(known) {
  const isNewest = newest("balance");
  try {
    const { available_usd: left, owed_usd: owed } = known ?? (await fields("get_balance", {}));
    if (isNewest()) show("money", `Balance left: $${left}${micro(owed ?? 0) > 0 ? `, owed: $${owed}` : ""}`);
  } catch {
    if (isNewest()) show("money", ""); // The toolset with get_balance may be off.
  }
}

/** Whether a bill has the rows from which the chart is drawn. */
function whole(bill) {
  return !bill.next_offset && bill.rows.every((row) => (row.day && row.product) || row.month);
}

/** Ask for the whole bill of a period, by day and model. */
async function billOf(period) {
  const asked = { period, by: "both", limit: MOST_ROWS };
  const bill = await fields("get_bill", asked);
  for (let page = 1; bill.next_offset && page < MOST_PAGES; page++) {
    const next = await fields("get_bill", { ...asked, offset: bill.next_offset });
    bill.rows.push(...next.rows);
    bill.next_offset = next.next_offset;
  }
  return bill;
}

async function spent(period, given) {
  choose(period);
  const isNewest = newest("bill");
  show("spent", "Looking.");
  try {
    const bill = given && whole(given) ? given : await billOf(period);
    if (!isNewest()) return; // The user has chosen another period meanwhile.
    const rows = bill.rows.map((row) => ({ day: row.day ?? `${row.month}-01`, name: nameOf(row), amount: micro(row.usd) }));
    drawn = { bill, rows };
    show("spent", `$${bill.total_usd}`);
    redraw();
    $("tables").replaceChildren(byModel(rows), byDay(rows), ...notes(bill));
  } catch (error) {
    if (!isNewest()) return;
    drawn = null;
    show("spent", "There is no bill to show.");
    $("chart").replaceChildren();
    $("tables").replaceChildren(make("p", error.message, { class: "facts" }));
  }
}

function nameOf(row) {
  const name = row.product || row.category || (row.month ? "All" : "Other");
  return row.kind === "fixed_term" ? `${name} (term)` : name;
}

function notes(bill) {
  const left = bill.next_offset ? `Drawn are the first ${bill.rows.length} of ${bill.total_rows} lines; the sum is of all.` : "";
  const words = ["As Novita billed it, days in UTC. Machines are billed some time after they ran.", left, bill.note];
  return words.filter(Boolean).map((each) => make("p", each, { class: "facts" }));
}

/** Sums of the rows by one of their fields, the largest first. */
function sums(rows, mark) {
  const found = new Map();
  for (const row of rows) found.set(row[mark], (found.get(row[mark]) ?? 0) + row.amount);
  return [...found].sort(([, one], [, other]) => other - one);
}

function redraw() {
  if (drawn === null) return undefined;
  const { bill, rows } = drawn;
  if (!rows.length) return $("chart").replaceChildren();
  const all = spans(bill.first_day, bill.last_day, bill.rows.some((row) => row.month));
  const names = sums(rows, "name").slice(0, PARTS).map(([name]) => name);
  const [most] = sums(rows, "day");
  const dearest = most ? ` Most on ${dayNamed(most[0])}: ${dollars(most[1])}.` : "";
  const label = `Spent by ${all.unit}, ${bill.first_day} to ${bill.last_day}: $${bill.total_usd}.${dearest} The tables below have every number.`;
  const placed = rows.map((row) => ({ ...row, span: all.nameOf(row.day) }));
  width = $("chart").clientWidth;
  $("chart").replaceChildren(chart(placed, names, all, width, label));
}

/** A table whose last column has amounts, aligned at the decimal point. */
function table(caption, heads, lines) {
  const made = make("table"), places = Math.max(...lines.map((line) => placesOf(line.amount)));
  made.append(make("caption", caption));
  const last = (place) => (place === heads.length - 1 ? { class: "amount" } : {});
  made.createTHead().insertRow().append(...heads.map((text, place) => make("th", text, { scope: "col", ...last(place) })));
  const body = made.createTBody();
  for (const { cells, amount, part } of lines) {
    const row = body.insertRow();
    row.append(...[...cells, dollars(amount, places)].map((text, place) => make("td", text, last(place))));
    if (part !== undefined) row.cells[0].prepend(swatch(part));
  }
  return made;
}

function swatch(part) {
  const made = draw("svg", { class: "swatch", viewBox: "0 0 10 10", "aria-hidden": "true" });
  made.append(draw("rect", { width: 10, height: 10, rx: 2, class: `part-${part}` }));
  return made;
}

function byModel(rows) {
  const lines = sums(rows, "name").map(([name, amount], place) => ({ cells: [name], amount, part: Math.min(PARTS, place) }));
  return lines.length ? table("By model or machine", ["Model", "USD"], lines) : make("p", "Nothing was billed.", { class: "facts" });
}

function byDay(rows) {
  if (!rows.length) return "";
  const details = make("details");
  details.append(make("summary", "Every day in numbers"));
  const lines = [...rows].sort((one, other) => (one.day < other.day ? -1 : one.day > other.day ? 1 : other.amount - one.amount));
  details.append(table("By day and model", ["Day", "Model", "USD"], lines.map((row) => ({ cells: [row.day, row.name], amount: row.amount }))));
  return details;
}

/** The periods to choose from, with the one that is shown. */
function choose(period) {
  const known = PERIODS.includes(period) ? PERIODS : [period, ...PERIODS];
  $("period").replaceChildren(...known.map((each) => make("option", each, each === period ? { selected: "" } : {})));
}

$("period").addEventListener("change", () => spent($("period").value));
new ResizeObserver(() => {
  if ($("chart").clientWidth !== width) redraw();
}).observe($("chart"));
host.on["ui/notifications/tool-input"] = () => {
  $("question").replaceChildren();
  for (const id of ["problem", "said"]) show(id, "");
  show("status", "Looking.");
};
host.on["ui/notifications/tool-result"] = take;
host.on["ui/notifications/tool-cancelled"] = () => show("status", "Cancelled.");
host.on["ui/resource-teardown"] = () => ({});
choose(PERIODS[0]);
host.begin();
