"""The MCP tasks extension: sealed handles, and the answers of tasks/get, update and cancel."""
