"""MCP messages as they travel: read, answered one by one over HTTP, and written."""
