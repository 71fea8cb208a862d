// The official TypeScript SDK, v1: list the tools, call one. It checks structuredContent against the output schema itself.
// Argument: {"command", "args", "env"} or {"url", "headers"}, and {"tool", "arguments"}. Prints one JSON object.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const asked = JSON.parse(process.argv[2]);
const transport = asked.url
  ? new StreamableHTTPClientTransport(new URL(asked.url), { requestInit: { headers: asked.headers } })
  : new StdioClientTransport({ command: asked.command, args: asked.args, env: asked.env });
const client = new Client({ name: "interop", version: "1" });
await client.connect(transport);
const { tools } = await client.listTools();
const progress = [];
const result = await client.callTool({ name: asked.tool, arguments: asked.arguments }, undefined, {
  onprogress: (step) => progress.push(step),
});
await client.close();
console.log(JSON.stringify({ server: client.getServerVersion(), tools, progress, result }));
