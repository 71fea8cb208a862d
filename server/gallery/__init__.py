"""Pages that hosts of MCP Apps show beside an answer (extension io.modelcontextprotocol/ui)."""
