"""The pages that a host can show beside an answer, by MCP Apps (extension io.modelcontextprotocol/ui)."""
