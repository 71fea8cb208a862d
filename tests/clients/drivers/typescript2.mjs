// The official TypeScript SDK, v2.
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { AjvJsonSchemaValidator } from "@modelcontextprotocol/client/validators/ajv";
import { asked, play, portable } from "./common.mjs";

const transport = asked.url
  ? new StreamableHTTPClientTransport(new URL(asked.url), { requestInit: { headers: asked.headers } })
  : new StdioClientTransport(asked);
const client = new Client({ name: "driver", version: "1" }, { versionNegotiation: { mode: "auto" } });
await client.connect(transport);
const { tools } = await client.listTools();
await play(tools.map((tool) => tool.name), portable(tools, new AjvJsonSchemaValidator()), (name, args) => client.callTool({ name, arguments: args }));
await client.close();
