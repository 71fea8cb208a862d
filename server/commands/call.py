"""`novita-mcp call`: lets a person or a script call one tool, without a host.

The answer goes to stdout. If stderr is a terminal, it shows a bar with the progress. Ctrl-C stops the waiting, not the
job; the command then prints the job's id and how to fetch the result.
"""

import json
import re
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import anyio
from mcp import Client
from mcp_types import CallToolResult
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Column

from ..app import NovitaServer, create_app
from ..settings import Settings
from .layout import columns, doing, shortened, wrapped
from .tools import known_tool

_JOB = re.compile(r"\btask ([\w-]+)|\(([\w-]+)\) accepted")
"""Finds the job's id in a progress message, once Novita has accepted the job."""


class Watched:
    """Shows the progress of a call on a terminal, and remembers the job's id in case the user stops waiting.

    Args:
        console: The console on which the bar is drawn.
    """

    def __init__(self, console: Console, title: str) -> None:
        self.job = ""
        self.bar: Progress | None = None
        self._room, self._title = console.width - _BAR, title
        if console.is_terminal:
            # The bar shows elapsed time, not percent: few models report progress, and we do not guess it.
            self.bar = Progress(
                SpinnerColumn(),
                BarColumn(bar_width=12),
                TimeElapsedColumn(),
                TextColumn("{task.description}", table_column=Column(no_wrap=True)),
                console=console,
                transient=True,
            )
            self._row = self.bar.add_task(escape(title), total=None)

    def shown(self) -> AbstractContextManager[object]:
        """A context in which the bar is drawn."""
        return self.bar if self.bar is not None else nullcontext()

    async def report(self, progress: float, total: float | None, message: str | None) -> None:
        """Receive a progress message of the server."""
        if found := _JOB.search(message or ""):
            self.job = found[1] or found[2]
        if self.bar is not None:
            self.bar.update(self._row, description=escape(shortened(doing(message) or self._title, self._room)))


_BAR = 1 + 1 + 12 + 1 + 7 + 1
"""The width of the spinner, the bar and the time, with a blank after each."""


def run_call(settings: Settings, name: str, arguments: Mapping[str, Any], *, as_json: bool) -> int:
    """Call the tool and print its answer. Returns the exit code: 1 after an error, 130 after Ctrl-C.

    Raises:
        SettingError: The tool is off.
    """
    server = create_app(settings)
    known_tool(name, set(server.offered))
    watched = Watched(Console(stderr=True, highlight=False), name)
    try:
        with watched.shown():
            answer = anyio.run(_call, server, name, arguments, watched)
    except KeyboardInterrupt:
        sys.stderr.write(_stopped(watched.job))
        return 130
    texts = "\n".join(block.text for block in answer.content if block.type == "text")
    if as_json:
        told: object = {"error": texts} if answer.is_error else answer.structured_content or {"text": texts}
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
    else:
        sys.stdout.write("\n".join([*_for_people(texts), *_files(answer)]) + "\n")
    return 1 if answer.is_error else 0


async def _call(server: NovitaServer, name: str, arguments: Mapping[str, Any], watched: Watched) -> CallToolResult:
    async with Client(server) as client:
        return await client.call_tool(name, dict(arguments), progress_callback=watched.report)


def _for_people(text: str) -> list[str]:
    """The lines of an answer, broken between words to the width of the screen. Continued lines are indented."""
    width = columns()
    lines: list[str] = []
    for line in text.splitlines():
        indent = line[: len(line) - len(line.lstrip())]
        lines += wrapped(line.lstrip(), width, first=indent, rest=indent + "  ")
    return lines


def _stopped(job: str) -> str:
    """The message to a user who stops waiting."""
    if job:
        return (
            f"\nStopped waiting. The job {job} goes on at Novita, and is paid for. To fetch it:\n"
            f"  novita-mcp call get_task --task-id {job}\n"
        )
    return "\nStopped. If a job was already sent, it is listed by:\n  novita-mcp call list_tasks\n"


def _files(answer: CallToolResult) -> list[str]:
    """Lines with the paths of the saved files, one a line, so that they are easy to copy."""
    facts: dict[str, Any] = {} if answer.is_error else answer.structured_content or {}
    artifacts = cast("list[dict[str, Any]]", facts.get("artifacts") or [])
    paths = [str(artifact["path"]) for artifact in artifacts if artifact.get("path")]
    return ["", "files:", *(f"  {path}" for path in paths)] if paths else []
