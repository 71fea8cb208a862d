"""How a slow tool becomes an MCP task, and how the task is followed."""
