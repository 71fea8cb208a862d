// Clients of the official TypeScript SDKs that sign in: 401, discovery, registration, PKCE, token, calls; by SDK.
import * as first from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import * as second from "@modelcontextprotocol/client";

const url = new URL(process.argv[2]);

class Provider {
  redirectUrl = "http://localhost:1/callback";
  clientMetadata = {
    client_name: "test",
    redirect_uris: ["http://localhost:1/callback"],
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
    token_endpoint_auth_method: "none",
  };
  state() {
    return "a-state";
  }
  clientInformation() {
    return this.client;
  }
  saveClientInformation(client) {
    this.client = client;
  }
  tokens() {
    return this.kept;
  }
  saveTokens(tokens) {
    this.kept = tokens;
  }
  async redirectToAuthorization(address) {
    const back = await fetch(address, { redirect: "manual" });
    this.back = new URL(back.headers.get("location"));
  }
  saveCodeVerifier(verifier) {
    this.verifier = verifier;
  }
  codeVerifier() {
    return this.verifier;
  }
}

const told = {};
for (const [name, Client, Transport] of [
  ["first", first.Client, StreamableHTTPClientTransport],
  ["second", second.Client, second.StreamableHTTPClientTransport],
]) {
  const provider = new Provider();
  const before = new Transport(url, { authProvider: provider });
  try {
    await new Client({ name: "test", version: "1" }).connect(before);
  } catch (error) {
    if (!provider.back) throw error;
  }
  await (name === "second" ? before.finishAuth(provider.back.searchParams) : before.finishAuth(provider.back.searchParams.get("code")));
  const client = new Client({ name: "test", version: "1" });
  await client.connect(new Transport(url, { authProvider: provider }));
  const { tools } = await client.listTools();
  const balance = await client.callTool({ name: "get_balance", arguments: {} });
  told[name] = {
    tools: tools.some((tool) => tool.name === "show_key_page"),
    // No key is kept yet: the answer leads to the page.
    balance: /\/key\?link=/.test(balance.content[0].text),
  };
  await client.close();
}
console.log(JSON.stringify(told));
