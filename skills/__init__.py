"""Agent skills: a folder each. Here they are for hosts of plugins; in a wheel the server gives them out over MCP."""
