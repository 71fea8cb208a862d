"""`python -m novita_mcp.server` is `novita-mcp`."""

from .cli import main

raise SystemExit(main())
