// A client of the official TypeScript SDKs that has no key and tries to sign in: what it tells its user, by SDK.
import * as first from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import * as second from "@modelcontextprotocol/client";

const url = new URL(process.argv[2]);
const provider = {
  redirectUrl: "http://localhost:1/callback",
  clientMetadata: { client_name: "test", redirect_uris: ["http://localhost:1/callback"] },
  clientInformation: () => undefined,
  saveClientInformation() {},
  tokens: () => undefined,
  saveTokens() {},
  redirectToAuthorization() {},
  saveCodeVerifier() {},
  codeVerifier: () => "none",
};
const told = {};
for (const [name, Client, Transport] of [
  ["first", first.Client, StreamableHTTPClientTransport],
  ["second", second.Client, second.StreamableHTTPClientTransport],
]) {
  const client = new Client({ name: "test", version: "1" });
  try {
    await client.connect(new Transport(url, { authProvider: provider }));
    told[name] = "connected";
  } catch (error) {
    told[name] = `${error.name}: ${error.message}`;
  }
}
console.log(JSON.stringify(told));
