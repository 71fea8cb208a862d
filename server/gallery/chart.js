// Draws amounts by day as bars. Amounts are whole millionths of a dollar, so that sums are exact.
const PARTS = 6;
const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 180, LEFT = 52, TOP = 8, BOTTOM = 22;

function micro(usd) {
  return Math.round(Number(usd) * 1e6);
}

/** The decimal places that an amount needs, at least two. */
function placesOf(amount) {
  return (Math.abs(amount) / 1e6).toFixed(6).replace(/^.*\./, "").replace(/0+$/, "").padEnd(2, "0").length;
}

function dollars(amount, places = placesOf(amount)) {
  return `${amount < 0 ? "-" : ""}$${(Math.abs(amount) / 1e6).toFixed(places)}`;
}

function draw(tag, attributes, text = "") {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text) made.textContent = text;
  return made;
}

/** The next larger round amount, so that the grid lines are at amounts that are easy to read. */
function rounded(amount) {
  const power = 10 ** Math.floor(Math.log10(amount));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((each) => each * power).find((each) => each >= amount);
}

function dayNamed(day, options = { day: "numeric", month: "short" }) {
  return new Date(`${day}T00:00:00Z`).toLocaleDateString(locale, { ...options, timeZone: "UTC" });
}

/** Every day from first to last; every month instead if there are many days or the rows are for months. */
function spans(first, last, monthly) {
  const days = [];
  for (let at = Date.parse(first); at <= Date.parse(last) && days.length < 800; at += 864e5) {
    days.push(new Date(at).toISOString().slice(0, 10));
  }
  if (days.length <= 62 && !monthly) return { unit: "day", names: days, nameOf: (day) => day };
  const nameOf = (day) => day.slice(0, 7);
  return { unit: "month", names: [...new Set(days.map(nameOf))], nameOf };
}

/**
 * Draw a bar of stacked parts for each day or month. `rows`: {span, name, amount}; `names`: the names that get a part of
 * their own, the largest first; all other names share the last part.
 */
function chart(rows, names, { unit, names: all }, width, label) {
  const kind = (name) => Math.min(PARTS, names.indexOf(name) < 0 ? PARTS : names.indexOf(name));
  const bars = new Map(all.map((span) => [span, new Map()]));
  for (const { span, name, amount } of rows) {
    const bar = bars.get(span);
    if (bar) bar.set(kind(name), (bar.get(kind(name)) ?? 0) + amount);
  }
  const sums = [...bars.values()].map((bar) => [...bar.values()].reduce((sum, each) => sum + Math.max(0, each), 0));
  const step = rounded(Math.max(1, ...sums) / 3), most = step * 3;
  const wide = Math.max(120, width - LEFT - 4), tall = HEIGHT - TOP - BOTTOM, slot = wide / all.length;
  const thick = Math.min(64, slot * 0.8);
  const y = (amount) => TOP + tall * (1 - amount / most);
  const svg = draw("svg", { viewBox: `0 0 ${wide + LEFT + 4} ${HEIGHT}`, height: HEIGHT, role: "img", "aria-label": label });
  for (let amount = 0; amount <= most; amount += step) {
    svg.append(draw("line", { x1: LEFT, x2: LEFT + wide, y1: y(amount), y2: y(amount) }));
    svg.append(draw("text", { x: LEFT - 6, y: y(amount) + 4, "text-anchor": "end" }, dollars(amount)));
  }
  const every = Math.ceil(all.length / Math.max(1, Math.floor(wide / 64)));
  all.forEach((span, place) => {
    const x = LEFT + place * slot;
    const named = unit === "day" ? dayNamed(span) : dayNamed(`${span}-01`, { month: "short", year: "2-digit" });
    let below = 0;
    for (const [part, amount] of [...bars.get(span)].sort(([one], [other]) => one - other)) {
      if (amount <= 0) continue;
      const bar = draw("rect", {
        x: x + (slot - thick) / 2,
        width: Math.max(1, thick),
        y: y(below + amount),
        height: Math.max(1, y(below) - y(below + amount)),
        class: `part-${part}`,
        "data-span": span,
        "data-micro": amount,
      });
      bar.append(draw("title", {}, `${named}: ${names[part] ?? "others"}, ${dollars(amount)}`));
      svg.append(bar);
      below += amount;
    }
    if (place % every === 0) {
      svg.append(draw("text", { x: x + slot / 2, y: HEIGHT - 6, "text-anchor": "middle" }, named));
    }
  });
  return svg;
}
