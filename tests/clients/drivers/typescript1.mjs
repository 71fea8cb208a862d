// The official TypeScript SDK, v1; it checks structuredContent against the output schemas itself.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { AjvJsonSchemaValidator } from "@modelcontextprotocol/sdk/validation/ajv-provider.js";
import { asked, play, portable } from "./common.mjs";

const transport = asked.url
  ? new StreamableHTTPClientTransport(new URL(asked.url), { requestInit: { headers: asked.headers } })
  : new StdioClientTransport(asked);
const client = new Client({ name: "driver", version: "1" });
await client.connect(transport);
const { tools } = await client.listTools();
await play(tools.map((tool) => tool.name), portable(tools, new AjvJsonSchemaValidator()), (name, args) => client.callTool({ name, arguments: args }));
await client.close();
