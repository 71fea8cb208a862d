"""The container's health check: exit 0 if the HTTP server answers, or if the container serves stdio and has no port."""

import os
import sys
import urllib.error
import urllib.request


def main() -> int:
    """Ask /healthz of the server in this container; the exit code."""
    words = _first_process()
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{_port(words)}/healthz", timeout=4) as answer:  # our own
            return 0 if answer.status == 200 else 1
    except urllib.error.HTTPError:
        return 1
    except OSError:
        return 1 if "--http" in words else 0


def _first_process() -> list[str]:
    """The command line of the container's first process; empty where it cannot be read."""
    try:
        with open("/proc/1/cmdline", "rb") as handle:  # noqa: PTH123  # no Path: a check every half minute stays light
            return handle.read().decode(errors="replace").split("\0")
    except OSError:
        return []


def _port(words: list[str]) -> str:
    """The port the server was given: a flag beats the environment."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word == "--port":
            return following
        if word.startswith("--port="):
            return word.partition("=")[2]
    return os.environ.get("NOVITA_MCP_PORT") or "8000"


if __name__ == "__main__":
    sys.exit(main())
