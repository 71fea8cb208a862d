"""The container's health check: exit 0 if the HTTP server answers, or if the container serves stdio and has no port."""

import os
import sys
import urllib.error
import urllib.request


def main() -> int:
    """Ask /healthz of the server in this container; the exit code."""
    port = os.environ.get("NOVITA_MCP_PORT") or "8000"
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=4) as answer:  # our own
            return 0 if answer.status == 200 else 1
    except urllib.error.HTTPError:
        return 1
    except OSError:
        return 1 if _serves_http() else 0


def _serves_http() -> bool:
    """Whether the container's first process was started with --http."""
    try:
        with open("/proc/1/cmdline", "rb") as handle:  # noqa: PTH123  # no Path: a check every half minute stays light
            return b"--http" in handle.read().split(b"\0")
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main())
