"""Extensions of MCP that are the server's own, and what the SDK leaves out of their declaration."""
