// The MCP Inspector's command line: each step is a process of its own, over stdio with a server of its own.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { asked, play } from "./common.mjs";

const launcher = new URL("node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js", import.meta.url);
const server = asked.url
  ? [asked.url, "--transport", "http", "--header", `Authorization: ${asked.headers.Authorization}`, "--stored-auth-only"]
  : Object.entries(asked.env).flatMap(([name, value]) => ["-e", `${name}=${value}`]);
const program = asked.url ? [] : ["--", asked.command, ...asked.args];

async function inspect(...words) {
  const line = [launcher.pathname, "--cli", ...server, ...words, "--format", "json", "-q", ...program];
  try {
    const done = await promisify(execFile)(process.execPath, line, { maxBuffer: 2 ** 26 });
    return JSON.parse(done.stdout).result;
  } catch (error) {
    if (error.code !== 5) throw error; // a tool's own error, told on stdout like any answer
    return JSON.parse(error.stdout).result;
  }
}

// A schema that is not portable ends it with another code.
const { tools } = await inspect("--method", "tools/list", "--strict");
const call = (name, args) =>
  inspect("--method", "tools/call", "--tool-name", name, "--tool-args-json", JSON.stringify(args));
await play(tools.map((tool) => tool.name), tools.length, call);
