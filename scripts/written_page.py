"""Shared code of the scripts that write a page of docs/: writes the page, or with --check says whether it is stale."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path


def write_or_check(path: Path, page: Callable[[], str], about: str | None) -> int:
    """Write the page, or with --check compare it. Returns the exit code: 1 if it is stale.

    Args:
        page: Makes the page.
        about: The script's docstring, whose first line is its help.
    """
    parser = argparse.ArgumentParser(description=(about or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true")
    if parser.parse_args().check:
        fresh = path.exists() and path.read_text(encoding="utf-8") == page()
        print("fresh" if fresh else f"{path.name} is stale: run python scripts/{Path(sys.argv[0]).name}")
        return 0 if fresh else 1
    path.write_text(page(), encoding="utf-8")
    return 0
