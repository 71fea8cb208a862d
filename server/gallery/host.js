// A minimal host of MCP Apps for one page at a time. It only passes the page's calls on to the server that served it.
const VIEWS = {
  Gallery: ["gallery.html", "list_tasks", { limit: 50 }],
  "Money and machines": ["spend.html", "get_bill", { period: "last 7 days" }],
};
let frame = null, view = null;

async function post(path, body) {
  const sent = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const answer = await fetch(path, sent).catch(() => {
    throw ended();
  });
  if (answer.status === 401) throw ended();
  if (!answer.ok) throw new Error(await answer.text());
  return answer.status === 204 ? null : answer.json();
}

function ended() {
  show("problem", "This page is closed: it was not opened by its link, or nobody looked for a while. Run novita-mcp gallery again.");
  return new Error("The gallery has ended.");
}

function say(message) {
  // A sandboxed frame has no origin to name, so the message goes to whatever page is in the frame, which we put there.
  frame?.contentWindow.postMessage({ jsonrpc: "2.0", ...message }, "*");
}

/** The requests that the page may send to its host. */
const ANSWERS = {
  ping: () => ({}),
  "ui/initialize": () => ({
    protocolVersion: "2026-01-26",
    hostInfo: { name: "novita-mcp gallery", version: "1" },
    hostCapabilities: { serverTools: {}, serverResources: {}, downloadFile: {}, openLinks: {} },
    hostContext: { locale: navigator.language, displayMode: "inline" },
  }),
  "tools/call": ({ name, arguments: given }) => post("/call", { name, arguments: given ?? {} }),
  "resources/read": ({ uri }) => post("/read", { uri }),
  "ui/open-link": ({ url }) => {
    if (!/^https:\/\//.test(url)) throw new Error("Only links of the web are opened.");
    window.open(url, "_blank", "noopener,noreferrer");
    return {};
  },
  "ui/download-file": ({ contents }) => {
    for (const { resource } of contents) save(resource);
    return {};
  },
};

function save({ blob, mimeType, uri }) {
  const bytes = Uint8Array.from(atob(blob), (letter) => letter.charCodeAt(0));
  const address = URL.createObjectURL(new Blob([bytes], { type: mimeType }));
  const name = `${uri.split("/").slice(-2).join("-")}.${mimeType.split("/")[1]}`;
  make("a", "", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

async function hear({ id, method, params }) {
  if (method === "ui/notifications/initialized") return begin(view);
  if (method === "ui/notifications/size-changed") {
    if (params?.height > 0) frame.style.height = `${Math.min(params.height, 1e5)}px`;
    return undefined;
  }
  if (id === undefined || typeof method !== "string") return undefined;
  const asked = frame;
  const reply = (message) => {
    if (frame === asked) say({ id, ...message });
  };
  try {
    if (!Object.hasOwn(ANSWERS, method)) throw new Error("This host does not do that.");
    return reply({ result: await ANSWERS[method](params ?? {}) });
  } catch (error) {
    return reply({ error: { code: -32000, message: error.message } });
  }
}

/** Send a page the call of a tool and its answer, as a host does after its model has called the tool. */
async function begin([, name, given]) {
  const asked = frame;
  say({ method: "ui/notifications/tool-input", params: { arguments: given } });
  const params = await post("/call", { name, arguments: given }).catch((error) => ({
    isError: true,
    content: [{ type: "text", text: error.message }],
  }));
  if (frame === asked) say({ method: "ui/notifications/tool-result", params });
}

async function open(name) {
  const isNewest = newest("page");
  const answer = await fetch(`/pages/${VIEWS[name][0]}`, { method: "HEAD" }).catch(() => null);
  if (!answer?.ok) throw ended();
  if (!isNewest()) return;
  view = VIEWS[name];
  for (const each of $("pages").children) each.toggleAttribute("aria-current", false);
  const chosen = [...$("pages").children].find((each) => each.textContent === name);
  chosen.setAttribute("aria-current", "page");
  frame = make("iframe", "", { sandbox: "allow-scripts", title: name, allow: "clipboard-write; fullscreen" });
  frame.src = `/pages/${view[0]}`;
  $("frame").replaceChildren(frame);
}

async function enter() {
  const token = location.hash.slice(1);
  if (token) {
    history.replaceState(null, "", "/");
    await post("/enter", { token });
  }
  for (const name of Object.keys(VIEWS)) {
    const made = make("button", name, { type: "button" });
    made.addEventListener("click", () => open(name).catch(() => {}));
    $("pages").append(made);
  }
  await open("Gallery");
}

window.addEventListener("message", (event) => {
  if (frame && event.source === frame.contentWindow && event.data?.jsonrpc === "2.0") hear(event.data);
});
enter().catch((error) => {
  if ($("problem").hidden) show("problem", `${error.message} Run novita-mcp gallery again.`);
});
