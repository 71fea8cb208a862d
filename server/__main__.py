"""`python -P -m novita_mcp.server` is `novita-mcp`."""

import sys

if not sys.flags.safe_path:
    # Hosts set up by version 0.1.0 start us without -P. Python then looks for libraries in the current folder first,
    # and a file that lies there by chance could replace one of ours.
    del sys.path[0]

from .cli import main

raise SystemExit(main())
