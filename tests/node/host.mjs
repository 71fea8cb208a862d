// A host of MCP Apps in a browser, on the official bridge and the official client: one page in a sandboxed frame.
// Bundled by browser.mjs. `window.host` is what the test drives it by.
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { AppBridge, PostMessageTransport } from "@modelcontextprotocol/ext-apps/app-bridge";

const at = new URL(location.href).searchParams;
const client = new Client({ name: "host", version: "1" });
const seen = { messages: [], context: [], calls: [], heights: [], downloads: [], opened: [] };
/** Name of a tool -> what lets its next answer go. */
const holding = new Map();
let bridge;

/** The policy that the specification wants of a host, for what the resource declares. */
function policyOf({ resourceDomains = [], connectDomains = [] } = {}) {
  const from = ["data:", ...resourceDomains].join(" ");
  return `default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src ${from}; media-src ${from}; ` +
    `connect-src ${connectDomains.join(" ") || "'none'"}`;
}

window.host = {
  seen,

  /** Connect, find the page of a tool, and put it into a frame. */
  async open(tool, theme) {
    const headers = { Authorization: `Bearer ${at.get("key")}` };
    await client.connect(new StreamableHTTPClientTransport(new URL(at.get("server")), { requestInit: { headers } }));
    const { tools } = await client.listTools();
    const uri = tools.find((each) => each.name === tool)._meta.ui.resourceUri;
    const [page] = (await client.readResource({ uri })).contents;
    const sent = { method: "POST", body: JSON.stringify({ html: page.text, policy: policyOf(page._meta.ui.csp) }) };
    const { frame: src } = await (await fetch("/frame", sent)).json();
    const frame = document.createElement("iframe");
    frame.sandbox = "allow-scripts";
    frame.title = "app";
    const capabilities = {
      message: { text: {} }, updateModelContext: { text: {} }, openLinks: {}, downloadFile: {}, serverTools: {}, serverResources: {},
    };
    bridge = new AppBridge(client, { name: "host", version: "1" }, capabilities, { hostContext: { theme, locale: "en-GB" } });
    bridge.onmessage = async (message) => (seen.messages.push(message.content[0].text), {});
    bridge.onupdatemodelcontext = async (params) => (seen.context.push(params.content[0].text), {});
    bridge.ondownloadfile = async ({ contents }) => (seen.downloads.push(contents[0].resource), {});
    bridge.onopenlink = async ({ url }) => (seen.opened.push(url), {});
    bridge.onsizechange = ({ height }) => {
      seen.heights.push(height);
      frame.style.height = `${height}px`;
    };
    const ready = new Promise((resolve) => (bridge.oninitialized = resolve));
    document.body.append(frame);
    await bridge.connect(new PostMessageTransport(frame.contentWindow, frame.contentWindow));
    bridge.oncalltool = async (params) => {
      seen.calls.push(params);
      const held = holding.get(params.name);
      const mine = held && !held.taken;
      if (mine) held.taken = true;
      const answer = await client.callTool(params);
      if (mine) await held.open;
      return answer;
    };
    frame.src = src;
    await ready;
    return { uri, mimeType: page.mimeType };
  },

  /** What a host does when its model calls the tool. */
  async call(name, args) {
    await bridge.sendToolInput({ arguments: args });
    const result = await client.callTool({ name, arguments: args });
    await bridge.sendToolResult(result);
    return result.structuredContent;
  },

  /** A call that the app hears nothing of. */
  async quietly(name, args) {
    return (await client.callTool({ name, arguments: args })).structuredContent;
  },

  /** The page gets the answer of its next call of this tool only when it is let go. */
  hold(name) {
    const held = { taken: false };
    held.open = new Promise((resolve) => (held.letGo = resolve));
    holding.set(name, held);
  },

  letGo(name) {
    holding.get(name).letGo();
    holding.delete(name);
  },

  /** An answer that no server of ours gave just now. */
  give(result) {
    return bridge.sendToolResult({ content: [], ...result });
  },

  /** The server can be asked for files, or it has them no more. */
  files(there) {
    bridge.onreadresource = async (params) => {
      if (!there) throw new Error("Resource not found");
      return client.readResource(params);
    };
  },

  theme(theme) {
    bridge.setHostContext({ theme, styles: { variables: { "--color-text-primary": theme === "dark" ? "#fefefe" : "#010101" } } });
  },

  end() {
    return bridge.teardownResource({});
  },
};
