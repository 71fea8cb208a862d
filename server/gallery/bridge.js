// The connection to the host: MCP Apps 2026-01-26, JSON-RPC 2.0 over postMessage. A page has no other connection.
const PROTOCOL = "2026-01-26";
const TOKEN = /^--[a-z0-9-]{1,60}$/;

const host = {
  capabilities: {},
  waiting: new Map(),
  last: 0,
  /** Method -> its handler, which gets the parameters. For a request the handler's result is the answer. */
  on: {},

  send(message) {
    // A page in a sandbox does not know the host's origin, so it sends to any. The messages contain no secret.
    window.parent.postMessage({ jsonrpc: "2.0", ...message }, "*");
  },

  notify(method, params = {}) {
    this.send({ method, params });
  },

  /** Send a request to the host. Resolves to its answer, or rejects with an Error that has the host's message. */
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

  /** Make the handshake with the host, and take over its colours and fonts. */
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

  /** Call a tool of the server that this page came from. */
  call(name, args) {
    return this.ask("tools/call", { name, arguments: args });
  },

  /** Put a message of the user into the chat. */
  say(text) {
    return this.ask("ui/message", { role: "user", content: [{ type: "text", text }] });
  },
};

/** Take over the host's colours and fonts. */
function dress(context) {
  const root = document.documentElement;
  if (context.theme === "light" || context.theme === "dark") root.dataset.theme = context.theme;
  for (const [name, value] of Object.entries(context.styles?.variables ?? {})) {
    if (TOKEN.test(name) && typeof value === "string") root.style.setProperty(name, value);
  }
  if (typeof context.locale === "string") locale = context.locale;
}

/** The host's language, in which numbers and times are written. */
let locale;
