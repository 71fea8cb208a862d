// The way to the host: MCP Apps 2026-01-26, JSON-RPC 2.0 over postMessage. A page knows nothing else of the world.
const PROTOCOL = "2026-01-26";
const TOKEN = /^--[a-z0-9-]{1,60}$/;

const host = {
  capabilities: {},
  waiting: new Map(),
  last: 0,
  /** Method -> what to do with its parameters. What comes back answers a request. */
  on: {},

  send(message) {
    // The host's origin is not known to a page in its sandbox; nothing secret is said.
    window.parent.postMessage({ jsonrpc: "2.0", ...message }, "*");
  },

  notify(method, params = {}) {
    this.send({ method, params });
  },

  /** Ask the host; its answer, or an Error with its words. */
  ask(method, params = {}) {
    const id = ++this.last;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.send({ id, method, params });
    });
  },

  async hear(message) {
    if (message === null || typeof message !== "object" || message.jsonrpc !== "2.0") return;
    if (typeof message.method === "string") {
      const known = Object.hasOwn(this.on, message.method) ? this.on[message.method] : null;
      if (message.id === undefined) {
        if (known) known(message.params ?? {});
      } else if (known) {
        this.send({ id: message.id, result: (await known(message.params ?? {})) ?? {} });
      } else {
        this.send({ id: message.id, error: { code: -32601, message: "Method not found" } });
      }
      return;
    }
    const asked = this.waiting.get(message.id);
    if (!asked) return;
    this.waiting.delete(message.id);
    if (message.error) asked.reject(new Error(String(message.error.message ?? "The host refused.")));
    else asked.resolve(message.result ?? {});
  },

  /** Shake hands, and look as the host looks. */
  async begin() {
    window.addEventListener("message", (event) => {
      if (event.source === window.parent) this.hear(event.data);
    });
    this.on.ping = () => ({});
    this.on["ui/notifications/host-context-changed"] = dress;
    const answer = await this.ask("ui/initialize", {
      protocolVersion: PROTOCOL,
      appInfo: { name: document.title, version: "1" },
      appCapabilities: { availableDisplayModes: ["inline", "fullscreen"] },
    });
    this.capabilities = answer.hostCapabilities ?? {};
    dress(answer.hostContext ?? {});
    this.notify("ui/notifications/initialized");
    new ResizeObserver(() => {
      const { width, height } = document.documentElement.getBoundingClientRect();
      this.notify("ui/notifications/size-changed", { width: Math.ceil(width), height: Math.ceil(height) });
    }).observe(document.documentElement);
  },

  /** A tool of the server that this page came from. */
  call(name, args) {
    return this.ask("tools/call", { name, arguments: args });
  },

  /** Put words into the chat, as the user's. */
  say(text) {
    return this.ask("ui/message", { role: "user", content: [{ type: "text", text }] });
  },
};

/** Colours and letters of the host. */
function dress(context) {
  const root = document.documentElement;
  if (context.theme === "light" || context.theme === "dark") root.dataset.theme = context.theme;
  for (const [name, value] of Object.entries(context.styles?.variables ?? {})) {
    if (TOKEN.test(name) && typeof value === "string") root.style.setProperty(name, value);
  }
  if (typeof context.locale === "string") locale = context.locale;
}

/** How the host writes numbers and times. */
let locale;
