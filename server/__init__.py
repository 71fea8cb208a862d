"""The MCP server: settings, transports and the command line."""
