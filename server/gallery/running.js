// Shows what runs and costs, with buttons to stop it: the tool asks, the page shows its question, and a click answers it.
const STOPS = {
  instance: ["Stop", "stop_gpu_instance", (id) => ({ instance_id: id })],
  endpoint: ["Keep no workers", "update_endpoint", (id) => ({ endpoint_id: id, min_workers: 0 })],
  sandbox: ["Delete", "delete_sandbox", (id) => ({ sandbox_id: id })],
};
const EVERYTHING = ["Stop everything", "all machines and endpoints", "stop_everything"];
/** The states of a machine that is stopped or stopping. */
const OVER = /^(exited|removed|toStop|stopping|toRemove|removing)$/;

/** The structured answer of a tool. If the tool answers with an error, this throws an Error with its message. */
async function fields(name, args) {
  const answer = await host.call(name, args);
  const text = (answer.content ?? []).filter((each) => each.type === "text").map((each) => each.text).join("\n");
  if (answer.isError || !answer.structuredContent) throw new Error(text || `${name} gave no answer.`);
  return answer.structuredContent;
}

/** The question in a tool's answer, without the words for the model around it. */
function questionOf(result) {
  const text = result.next_step ?? "";
  return text.replace(/^Nothing was sent or billed\. /, "").replace(/ If the user agrees, call \w+ again with confirm=true\.$/, "");
}

/** The line for one thing that costs. Where a question is not about one thing, or its line is gone: the top of the page. */
function placeOf(id) {
  return [...$("running").children].find((item) => item.dataset.id === id) ?? $("question");
}

/** Show a tool's question. Only a click on the button Yes sends `confirm`. */
function question(label, about, tool, args, result, id) {
  for (const open of document.querySelectorAll(".question")) open.remove();
  const box = make("div", "", { class: "question", role: "group", "aria-label": "Question" });
  box.append(make("p", questionOf(result)));
  const yes = button(`Yes: ${label.toLowerCase()}`, about, async () => {
    const done = await fields(tool, { ...args, confirm: true });
    box.remove();
    told(done);
    await running();
    $("running-title").focus();
  });
  yes.classList.add("sure");
  const no = button("No, leave it", about, () => {
    box.remove();
    show("said", "It was left as it is.");
    $("running-title").focus();
  });
  const both = box.appendChild(make("div", "", { class: "buttons" }));
  both.append(no, yes);
  placeOf(id).append(box);
  no.focus();
}

/** Show the result of a stop. */
function told(result) {
  const named = (lines) => lines.map((line) => `${line.name} (${line.what})`).join(", ");
  const failed = result.failed ?? [];
  show("problem", failed.length ? `Not stopped, and may cost on: ${named(failed)}` : "");
  const stopped = (result.stopped ?? []).length ? `Stopped: ${named(result.stopped)}.` : "";
  const name = result.instance?.name ?? result.endpoint?.name ?? result.sandbox_id;
  const word = { working: "on its way", needs_confirmation: "not stopped yet" }[result.status] ?? result.status;
  show("said", stopped || (name ? `${name}: ${word}.` : "Done."));
}

function stopper(label, about, tool, args, id) {
  return button(label, about, async () => {
    show("said", "");
    const result = await fields(tool, args);
    if (result.status === "needs_confirmation") return question(label, about, tool, args, result, id);
    told(result);
    await running();
  });
}

/** A line for one thing that costs. */
function lineOf(line) {
  const item = make("li", "", { "data-id": line.id }), text = item.appendChild(make("div"));
  text.append(make("h3", line.name || line.id));
  const hourly = line.usd_per_hour === undefined ? "price unknown" : `about $${line.usd_per_hour} per hour`;
  const so = line.cost_so_far_usd === undefined ? "" : `$${line.cost_so_far_usd} so far`;
  const since = line.since ? `since ${moment(line.since)}` : "";
  text.append(make("p", [line.kind, line.product, line.state, hourly, so, since].filter(Boolean).join(" · "), { class: "facts" }));
  const over = OVER.test(line.state ?? "");
  if (line.ends_at) text.append(make("p", `Its lease ends it ${moment(line.ends_at)}.`));
  else if (!over && (line.kind === "instance" || line.kind === "endpoint")) {
    text.append(make("p", "No lease: it costs until somebody stops it.", { class: "open" }));
  }
  if (line.note) text.append(make("p", line.note, { class: "facts" }));
  if (Object.hasOwn(STOPS, line.kind) && !over) {
    const [label, tool, args] = STOPS[line.kind];
    item.append(stopper(label, line.name || line.id, tool, args(line.id), line.id));
  }
  return item;
}

function moment(text) {
  return new Date(text).toLocaleString(locale, { dateStyle: "medium", timeStyle: "short" });
}

/** The entry for a machine of the account that costs, even if this server's journal does not know the machine. */
function lineOfMachine(machine) {
  const { instance_id: id, stops_at: ends_at, name, product, state, usd_per_hour, cost_so_far_usd, since } = machine;
  return { kind: "instance", id, name, product, state, usd_per_hour, cost_so_far_usd, since, ends_at };
}

/** Put new lines in place of the old ones. A question that is open stays at its line, with the focus. */
function replaceLines(items) {
  const open = $("running").querySelector(".question"), id = open?.parentElement.dataset.id;
  const focused = open?.contains(document.activeElement) ? document.activeElement : null;
  $("running").replaceChildren(...items);
  if (open) items.find((item) => item.dataset.id === id)?.append(open);
  focused?.focus();
}

/** Ask what runs: list_tasks has what was started here, list_gpu_instances all machines of the account. */
async function running(machines) {
  const looks = [fields("list_tasks", { limit: 1 }), machines ?? fields("list_gpu_instances", {})];
  const isNewest = newest("running");
  const [jobs, rented] = await Promise.allSettled(looks);
  if (!isNewest()) return; // A later look shows what runs.
  const lines = new Map((jobs.value?.running ?? []).map((line) => [line.id, line]));
  const shown = lines.size;
  for (const machine of rented.value?.instances ?? []) {
    const known = lines.get(machine.instance_id);
    const costs = known || machine.usd_per_hour === undefined ? !OVER.test(machine.state) : micro(machine.usd_per_hour) > 0;
    if (known || costs) lines.set(machine.instance_id, { ...known, ...lineOfMachine(machine), note: known?.note });
  }
  const sorted = [...lines.values()].sort((one, other) => micro(other.usd_per_hour ?? 0) - micro(one.usd_per_hour ?? 0));
  const unpriced = sorted.filter((line) => line.usd_per_hour === undefined).length;
  const hidden = (jobs.value?.running_total ?? shown) - shown;
  const sum = sorted.reduce((all, line) => all + micro(line.usd_per_hour ?? 0), 0);
  const unseen = (rented.value?.total ?? 0) - (rented.value?.instances.length ?? 0);
  const besides = [
    unpriced && `${unpriced} without a known price`,
    hidden > 0 && `${hidden} more that list_tasks counts`,
    unseen > 0 && `${unseen} more machines that are not shown`,
  ];
  const more = besides.filter(Boolean).join(" and ");
  const failed = [jobs, rented].every((look) => look.status === "rejected");
  if (failed) show("hourly", "What runs could not be read now.");
  else show("hourly", sorted.length ? `About ${dollars(sum)} per hour${more ? `, besides ${more}` : ""}` : "Nothing that costs.");
  replaceLines(sorted.map(lineOf));
  const again = button("Look again", "what runs", () => running());
  const stoppable = sorted.some((line) => /^(instance|endpoint)$/.test(line.kind) && !OVER.test(line.state ?? ""));
  const all = stoppable ? [stopper(...EVERYTHING, {})] : [];
  $("running-buttons").replaceChildren(again, ...all);
  show("running-note", [jobs.value?.running_note, failed && jobs.reason.message].filter(Boolean).join(" "));
}
