// Vercel's AI SDK.
import { createMCPClient } from "@ai-sdk/mcp";
import { Experimental_StdioMCPTransport as StdioMCPTransport } from "@ai-sdk/mcp/mcp-stdio";
import { asSchema } from "ai";
import { asked, play } from "./common.mjs";

const transport = asked.url ? { type: "http", url: asked.url, headers: asked.headers } : new StdioMCPTransport(asked);
const client = await createMCPClient({ transport });
const tools = await client.tools();
const schemas = await Promise.all(Object.values(tools).map((tool) => asSchema(tool.inputSchema).jsonSchema));
const converted = schemas.filter((schema) => schema.type === "object").length;
await play(Object.keys(tools), converted, (name, args) => tools[name].execute(args, { toolCallId: "1", messages: [] }));
await client.close();
