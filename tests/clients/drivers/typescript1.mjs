// The official TypeScript SDK, v1; it checks structuredContent against the output schemas itself.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { asked, play } from "./common.mjs";

const transport = asked.url
  ? new StreamableHTTPClientTransport(new URL(asked.url), { requestInit: { headers: asked.headers } })
  : new StdioClientTransport(asked);
const client = new Client({ name: "driver", version: "1" });
await client.connect(transport);
const { tools } = await client.listTools();
await play(tools.map((tool) => tool.name), tools.length, (name, args) => client.callTool({ name, arguments: args }));
await client.close();
