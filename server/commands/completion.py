"""`novita-mcp completion SHELL`: a script that makes the shell complete commands, tools and their flags."""

import sys

import shtab

from ..flags import parser


def run_completion(shell: str) -> int:
    """Write the script to stdout. Returns the exit code."""
    sys.stdout.write(shtab.complete(parser(every_tool=True), shell=shell) + "\n")
    return 0
