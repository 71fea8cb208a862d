"""What every tool is made of: toolsets, context, schemas, questions, MCP tasks."""
