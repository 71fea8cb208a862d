"""Extensions of MCP that this server implements itself, and their declaration where the SDK leaves it out."""
