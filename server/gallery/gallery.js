// The gallery: shows the files that a tool made, or the progress of a job.
const POLL_FIRST = 1000, POLL_MOST = 5000;
const MOST_FAILURES = 5;

const state = { asked: {}, polling: null, wait: POLL_FIRST, failures: 0, ended: false, told: new Set() };

function size(bytes) {
  if (bytes === undefined) return "";
  return bytes < 2 ** 20 ? `${Math.max(1, Math.round(bytes / 1024))} KB` : `${(bytes / 2 ** 20).toFixed(1)} MB`;
}

function facts(artifact, seed) {
  const measured = artifact.width ? `${artifact.width} × ${artifact.height}` : "";
  const length = artifact.duration_seconds === undefined ? "" : `${Math.round(artifact.duration_seconds * 10) / 10} s`;
  const own = artifact.seed ?? seed;
  return [measured, length, size(artifact.bytes), own === undefined ? "" : `seed ${own}`].filter(Boolean).join(" · ");
}

/** A card for one file: the picture or player, its facts, and its buttons. */
function figureOf(artifact, result, poster) {
  const figure = make("figure");
  const name = `${artifact.kind} ${artifact.index + 1}`;
  const words = state.asked.prompt ?? state.asked.text ?? "";
  const place = figure.appendChild(make("div", "Loading…"));
  figure.append(make("figcaption", [name, facts(artifact, result.seed)].filter(Boolean).join(" · ")));
  const buttons = figure.appendChild(make("div", "", { class: "buttons" }));
  const reference = `task:${artifact.task_id}/${artifact.index}`;
  if (artifact.task_id && host.capabilities.message !== undefined) {
    buttons.append(
      button("Use as input", name, async () => {
        await host.say(`Use ${reference} as the input of the next step.`);
        show("said", `${reference} is in the chat.`);
      }),
    );
    if (artifact.kind === "image") {
      buttons.append(
        button("Variants", name, async () => {
          await host.say(`Make variants of ${reference}. Tell me the price first.`);
          show("said", `Variants of ${reference} were asked for in the chat.`);
        }),
      );
    }
  }
  if (artifact.path) buttons.append(button("Copy path", name, () => copy(artifact.path)));
  place.dataset.source = "none";
  const ready = sourceOf(artifact).then((source) => {
    place.textContent = "";
    const base64 = base64Of(source);
    if (host.capabilities.downloadFile !== undefined && base64 !== null) {
      buttons.append(button("Download", name, () => download(artifact, source, base64)));
    } else if (!artifact.path && alive(artifact) && host.capabilities.openLinks !== undefined) {
      buttons.append(button("Download", name, () => host.ask("ui/open-link", { url: artifact.url })));
    }
    if (source === null) return instead(artifact, place, buttons, poster, name, words);
    place.dataset.source = base64 === null ? "link" : "resource";
    const tag = { image: "img", video: "video", audio: "audio" }[artifact.kind];
    const media = make(tag, "", artifact.kind === "image" ? { alt: words || name } : { controls: "", preload: "metadata" });
    if (tag !== "img") media.setAttribute("aria-label", words ? `${name}: ${words}` : name);
    media.addEventListener("error", () => {
      place.textContent = "";
      instead(artifact, place, buttons, poster, name, words);
    });
    media.src = source;
    place.append(media);
  });
  ready.catch((error) => { place.textContent = `This file cannot be shown: ${error.message}`; });
  return figure;
}

/** In place of a file that cannot be shown: its still, its path, and a button to fetch it again. */
function instead(artifact, place, buttons, poster, name, words) {
  if (poster) place.append(make("img", "", { alt: words ? `A still of ${name}: ${words}` : `A still of ${name}`, src: poster }));
  const gone = !artifact.path && artifact.url && !alive(artifact);
  place.append(make("p", gone ? "Its link has expired." : (artifact.path ?? artifact.note ?? "It cannot be shown here.")));
  place.dataset.source = gone ? "expired" : "poster";
  if (!artifact.task_id || buttons.querySelector("[data-again]")) return;
  const again = button("Fetch again", name, () => look(artifact.task_id));
  again.dataset.again = "";
  buttons.append(again);
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // A host may forbid pages to use the clipboard. The selected text can then be copied by hand.
    const field = document.body.appendChild(make("textarea", "", { "aria-label": "Path" }));
    field.value = text;
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    if (!done) return show("said", text);
  }
  show("said", `Copied: ${text}`);
}

async function download(artifact, source, blob) {
  const mimeType = source.slice(5, source.indexOf(";"));
  const uri = `novita://artifacts/${encodeURIComponent(artifact.task_id)}/${artifact.index}`;
  const answer = await host.ask("ui/download-file", { contents: [{ type: "resource", resource: { uri, mimeType, blob } }] });
  show("said", answer.isError ? "The host did not save it." : "Saved by the host.");
}

/** A card for one job with its files. */
function cardOf(result, pictures) {
  const card = make("section", "", { class: "task", "aria-label": result.task_id ? `Task ${result.task_id}` : "Result" });
  const words = state.asked.prompt ?? state.asked.text;
  if (typeof words === "string" && words) card.append(make("h2", words.length > 300 ? `${words.slice(0, 300)}…` : words));
  const cost = result.estimated_cost_usd === undefined ? "" : costs(result.estimated_cost_usd);
  const known = [result.model, result.seed === undefined ? "" : `seed ${result.seed}`, cost].filter(Boolean);
  if (known.length) card.append(make("p", known.join(" · "), { class: "facts" }));
  if (result.remark) card.append(make("p", result.remark));
  if (result.text) card.append(make("pre", result.text));
  for (const [name, value] of Object.entries(result.values ?? {})) card.append(make("p", `${name}: ${value}`));
  const media = (result.artifacts ?? []).filter((each) => each.kind !== "text");
  const posters = media.filter((each) => each.kind === "image" || each.kind === "video");
  // The answer has small pictures beside its text. If there is one for each file, they are in the order of the files.
  const poster = (each) => (pictures.length === posters.length ? pictures[posters.indexOf(each)] : undefined);
  const grid = make("div", "", { class: "media" });
  for (const artifact of media) grid.append(figureOf(artifact, result, poster(artifact)));
  if (media.length) card.append(grid);
  return card;
}

function costs(usd) {
  return usd === "unknown" ? "price unknown" : `about $${usd}`;
}

function picturesOf(answer) {
  return (answer.content ?? [])
    .filter((each) => each.type === "image" && SHOWN.image.test(each.mimeType ?? ""))
    .map((each) => `data:${each.mimeType};base64,${each.data}`);
}

/** Show the answer of a tool, whether the model or this page called it. */
function take(answer) {
  const result = answer.structuredContent;
  if (answer.isError || !result || typeof result !== "object") {
    stop();
    const text = (answer.content ?? []).filter((each) => each.type === "text").map((each) => each.text).join("\n");
    show("status", answer.isError ? "It did not work." : "There is nothing to show.");
    return show("problem", answer.isError ? text || "The tool failed." : "");
  }
  show("problem", "");
  if (Array.isArray(result.tasks)) return list(result);
  if (result.status === "working") return working(result);
  stop();
  const said = { succeeded: "Done.", incomplete: "Done, but not all of it is here.", unconfirmed: "Nobody knows whether it was accepted.",
    needs_confirmation: "It asks first; nothing was sent.", dry_run: "Nothing was sent." }[result.status];
  show("status", said ?? "Done.");
  if (result.status !== "succeeded" && result.next_step) show("problem", result.next_step);
  $("items").replaceChildren(cardOf(result, picturesOf(answer)));
  if (result.task_id) named(result.task_id);
  if (result.status === "succeeded") balance();
}

/** Show the progress of a running job, and plan the next request for its state. */
function working(result) {
  const left = result.eta_seconds === undefined ? "" : `, about ${Math.max(1, Math.round(result.eta_seconds))} s left`;
  const part = result.progress_percent === undefined ? "" : ` ${Math.round(result.progress_percent)} %`;
  show("status", `Working${part}${left}.`);
  $("progress").hidden = false;
  if (result.progress_percent === undefined) $("progress").removeAttribute("value");
  else $("progress").value = result.progress_percent;
  $("items").replaceChildren(cardOf(result, []));
  if (result.task_id && !state.ended) {
    clearTimeout(state.polling);
    state.polling = setTimeout(() => look(result.task_id), state.wait);
    state.wait = Math.min(POLL_MOST, state.wait * 1.5);
  }
}

/** Ask for the state of a task once, without waiting in the tool. */
async function look(id) {
  clearTimeout(state.polling);
  const isNewest = newest("items");
  try {
    const answer = await host.call("get_task", { task_id: id, wait_seconds: 0 });
    if (!isNewest()) return; // Something else is shown by now.
    const was = $("progress").hidden;
    state.failures = 0;
    take(answer);
    const result = answer.structuredContent;
    if (!was && !answer.isError && result?.status !== "working") await tellModel(id, result);
  } catch (error) {
    if (!isNewest()) return;
    if (++state.failures >= MOST_FAILURES || state.ended) {
      stop();
      return show("problem", `The job's state cannot be read: ${error.message} The job goes on; get_task can fetch it.`);
    }
    state.polling = setTimeout(() => look(id), POLL_MOST);
  }
}

/** Tell the model that the page has got the result, so that it need not ask again. */
async function tellModel(id, result) {
  if (host.capabilities.updateModelContext === undefined || state.told.has(id)) return;
  state.told.add(id);
  const text = `Task ${id} is done (${result.status}); its files are shown to the user. As input: task:${id}/0.`;
  await host.ask("ui/update-model-context", { content: [{ type: "text", text }] }).catch(() => {});
}

function stop() {
  clearTimeout(state.polling);
  state.wait = POLL_FIRST;
  $("progress").hidden = true;
}

/** Ask for the prompt of a task whose call this page did not see. */
async function named(id) {
  if (state.asked.prompt ?? state.asked.text) return;
  const card = $("items").firstElementChild;
  try {
    const { structuredContent } = await host.call("list_tasks", { limit: 50 });
    const line = structuredContent?.tasks?.find((each) => each.task_id === id);
    if (line?.title && !card.querySelector("h2")) card.prepend(make("h2", line.title));
  } catch {
    // The picture is shown all the same; the prompt is only an addition.
  }
}

async function balance() {
  const isNewest = newest("money");
  try {
    const { structuredContent } = await host.call("get_balance", {});
    const left = structuredContent?.available_usd;
    if (typeof left === "string" && isNewest()) show("money", `Balance left: $${left}`);
  } catch {
    // The toolset with get_balance may be off.
  }
}

/** A list of tasks that can be opened. `before` has the cards of newer tasks. */
function list(result, before = []) {
  stop();
  newest("money");
  const cards = [...before, ...result.tasks.map(taskOf)];
  show("status", cards.length ? `${cards.length} tasks.` : "No tasks.");
  $("items").replaceChildren(...cards, ...(result.more ? [older(cards)] : []));
  const running = result.running_usd_per_hour;
  show("money", running ? `Running now: about $${running} per hour.` : "");
}

function taskOf(line) {
  const card = make("section", "", { class: "task", "aria-label": `Task ${line.task_id}` });
  card.append(make("h2", line.title || line.task_id));
  const cost = line.estimated_cost_usd === undefined ? "" : costs(line.estimated_cost_usd);
  const when = line.created ? new Date(line.created).toLocaleString(locale) : "";
  const known = [line.state ?? line.status, line.model, cost, when].filter(Boolean);
  card.append(make("p", known.join(" · "), { class: "facts" }));
  if (line.reason) card.append(make("p", line.reason));
  for (const file of line.files ?? []) card.append(make("p", file, { class: "facts" }));
  if (line.tool === undefined || MAKES.test(line.tool)) {
    const open = button("Open", line.title || line.task_id, async () => {
      state.asked = line.title ? { prompt: line.title } : {};
      await look(line.task_id);
    });
    card.append(open);
  }
  return card;
}

/** The next part of the list, from the place where it ended. */
function older(cards) {
  const asked = { ...state.asked, limit: 50 };
  const offset = (state.asked.offset ?? 0) + cards.length;
  return button("Older", "tasks", async () => {
    const isNewest = newest("items");
    const { structuredContent, isError } = await host.call("list_tasks", { ...asked, offset });
    if (!isNewest()) return;
    if (isError || !structuredContent) throw new Error("they could not be read.");
    list(structuredContent, cards);
    cards.at(-1).nextElementSibling?.querySelector("button")?.focus();
  });
}

/** The tools whose jobs get_task can read. */
const MAKES = /image|video|speech|music|voice|background|audio|lyrics|media_model/;

host.on["ui/notifications/tool-input"] = ({ arguments: given }) => {
  for (const place of ["items", "money"]) newest(place);
  state.asked = given && typeof given === "object" ? given : {};
  stop();
  $("items").replaceChildren();
  for (const id of ["problem", "money", "said"]) show(id, "");
  show("status", "Working.");
  $("progress").removeAttribute("value");
  $("progress").hidden = false;
};
host.on["ui/notifications/tool-result"] = (answer) => {
  newest("items");
  take(answer);
};
host.on["ui/notifications/tool-cancelled"] = () => {
  newest("items");
  stop();
  show("status", "Cancelled here. What was begun goes on at Novita; list_tasks finds it.");
};
host.on["ui/resource-teardown"] = () => {
  state.ended = true;
  stop();
  return {};
};
host.begin();
