"""The parts that all tools share: toolsets, context, schemas, questions, MCP tasks."""
