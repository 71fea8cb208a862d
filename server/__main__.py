"""`python -P -m novita_mcp.server` is `novita-mcp`."""

import sys

if not sys.flags.safe_path:
    # Hosts set up by version 0.1.0 leave -P out: what lies in the folder they start us in is no library of ours.
    del sys.path[0]

from .cli import main

raise SystemExit(main())
