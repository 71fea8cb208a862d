"""The commands of `novita-mcp`, a file each."""
