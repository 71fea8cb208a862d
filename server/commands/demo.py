"""`novita-mcp demo`: shows the whole product on the simulator in under a minute, with nothing to configure.

The simulator runs in this process. The server is a real child process over stdio, and the demo is an ordinary MCP
client of it. The demo is a list of steps; a later step may use the result of an earlier one.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol, cast

import anyio
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.shared.dispatcher import ProgressFnT
from mcp_types import CallToolResult
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

from ...novita.core.money import say_exactly
from ...novita.core.words import counted
from ...simulator.core.world import DEFAULT_KEY, World
from ...simulator.core.world import WorldSettings as WorldSettings
from ...simulator.serving import Running, serve
from ..config.places import played_folder
from ..settings import Settings
from ..starting import short_command, this_interpreter
from .hosts import likely_host
from .layout import at_the_point, columns, doing, shortened, wrapped
from .screen import Screen

TASK_SECONDS = 2.5
"""Seconds that the simulator takes for a picture: long enough that a bar visibly moves."""


@dataclass(frozen=True)
class Step:
    """One call of one tool.

    Args:
        name: The name by which later steps refer to this one.
        title: The text beside the bar.
        arguments: In a text `{name}` is replaced by the task id of the step of that name, as in `task:{picture}/0`.
    """

    name: str
    title: str
    tool: str
    arguments: Mapping[str, Any]


STEPS: tuple[Step, ...] = (
    Step(
        "picture",
        "A fox in the snow",
        "generate_image",
        {"prompt": "a red fox in snow", "size": "1024x1024"},
    ),
    Step(
        "posters",
        "Three posters",
        "generate_image",
        {"prompt": "a red fox poster", "count": 3, "seed": 7},
    ),
    Step(
        "night",
        "The same at night",
        "edit_image",
        {"image": "task:{picture}/0", "prompt": "make it night, with stars"},
    ),
    Step(
        "film",
        "It looks up",
        "generate_video",
        {"image": "task:{night}/0", "prompt": "the fox looks up", "duration": 3}
        # Stands for the agreement of a user who has read the price, or that the price is not known.
        | {"confirm": True},
    ),
    Step(
        "voice",
        "Its tale, read",
        "generate_speech",
        {"text": "The snow was quiet."},
    ),
    Step(
        "machine",
        "A GPU to train on",
        "create_gpu_instance",
        {"name": "fox-den", "image": "pytorch/pytorch:latest", "min_memory_gb": 24, "stop_after_hours": 1}
        # Stands for the agreement of a user who has read the price.
        | {"confirm": True},
    ),
)


@dataclass(frozen=True)
class Made:
    """The result of a step. Money is in USD.

    Args:
        cost_usd: By how much the simulated balance fell during the step. A machine goes on costing afterwards.
        price: The price in Novita's list, for people, such as "$0.252" or "$0.21/h".
    """

    step: str
    title: str
    tool: str
    ok: bool
    summary: str
    seconds: float
    cost_usd: str
    balance_usd: str
    task_id: str = ""
    model: str = ""
    price: str = ""
    files: tuple[str, ...] = ()


@dataclass
class DemoOutcome:
    """The result of the whole demo."""

    folder: str
    ok: bool = False
    error: str = ""
    balance_before_usd: str = ""
    balance_after_usd: str = ""
    spent_usd: str = "0"
    seconds: float = 0.0
    steps: list[Made] = field(default_factory=list[Made])


class Show(Protocol):
    """Shows a run of the demo while it happens."""

    def started(self, outcome: DemoOutcome, tools: int) -> None: ...
    def begin(self, step: Step) -> ProgressFnT: ...
    def done(self, step: Step, made: Made) -> None: ...
    def finished(self, outcome: DemoOutcome) -> None: ...


def run_demo(settings: Settings, *, as_json: bool, steps: Sequence[Step] = STEPS, show: Show | None = None) -> int:
    """Run the steps, and show them on stdout or by `show`. Returns the exit code: 0 if all steps worked."""
    folder = settings.output_dir or played_folder("demo")
    show = show or _show(as_json)
    try:
        with serve(World(WorldSettings(task_seconds=TASK_SECONDS))) as running:
            outcome = anyio.run(_run, running, folder, show, steps)
    except KeyboardInterrupt:
        return 130
    except BaseExceptionGroup as group:
        if group.split(BrokenPipeError)[1] is None:  # the reader of our output, such as `head`, has closed it
            raise BrokenPipeError from None
        raise
    if as_json:
        sys.stdout.write(json.dumps(asdict(outcome), indent=2) + "\n")
    return 0 if outcome.ok else 1


def _show(as_json: bool) -> Show:
    console = Screen(highlight=False)
    if as_json:
        return _Silent()
    if not console.is_terminal or console.is_dumb_terminal:
        return _PlainLines(console)
    return Bars(console)


async def _run(running: Running, folder: Path, show: Show, steps: Sequence[Step]) -> DemoOutcome:
    began = time.monotonic()
    outcome = DemoOutcome(folder=str(folder))
    # The server's log would disturb the picture, so it goes to a file first, and to stderr at the end.
    with tempfile.TemporaryFile("w+", encoding="utf-8") as log:
        async with Client(stdio_client(_child(running, folder), errlog=log)) as client:
            await _play(client, outcome, show, steps)
        log.seek(0)
        sys.stderr.write(log.read())
    outcome.seconds = round(time.monotonic() - began, 1)
    show.finished(outcome)
    return outcome


async def _play(client: Client, outcome: DemoOutcome, show: Show, steps: Sequence[Step]) -> None:
    """Run the steps in order, and stop after the first that fails."""
    before = await _balance(client)
    outcome.balance_before_usd = outcome.balance_after_usd = f"{before:f}"
    show.started(outcome, len((await client.list_tools()).tools))
    ids: dict[str, str] = {}
    for step in steps:
        made = await _take(client, step, ids, Decimal(outcome.balance_after_usd), show)
        outcome.steps.append(made)
        outcome.balance_after_usd = made.balance_usd
        outcome.spent_usd = f"{before - Decimal(made.balance_usd):f}"
        if not made.ok:
            outcome.error = f"{made.title}: {made.summary}"
            return
        ids[step.name] = made.task_id
    outcome.ok = True


def _child(running: Running, folder: Path) -> StdioServerParameters:
    """The server as a host would start it, but on the simulator, and without the user's journal and key."""
    passed = ("PYTHONPATH", "LANG", "LC_ALL")
    command, *words = this_interpreter()
    return StdioServerParameters(
        command=command,
        args=words,
        env={
            **{name: os.environ[name] for name in passed if name in os.environ},
            "NOVITA_API_KEY": DEFAULT_KEY,
            "NOVITA_BASE_URL": running.url,
            "NOVITA_MCP_OUTPUT_DIR": str(folder),
            "NOVITA_MCP_JOURNAL": "off",
        },
    )


async def _balance(client: Client) -> Decimal:
    answer = await client.call_tool("get_balance", {})
    if answer.is_error:
        raise RuntimeError(_text(answer))
    return Decimal(_structured(answer)["available_usd"])


async def _take(client: Client, step: Step, ids: Mapping[str, str], before: Decimal, show: Show) -> Made:
    arguments = {
        name: value.format_map(ids) if isinstance(value, str) else value for name, value in step.arguments.items()
    }
    began = time.monotonic()
    report = show.begin(step)
    answer = await client.call_tool(step.tool, arguments, progress_callback=report)
    seconds = round(time.monotonic() - began, 1)
    after = await _balance(client)
    facts = _structured(answer)
    artifacts = cast(list[dict[str, Any]], facts.get("artifacts", []))
    text = _text(answer)
    made = Made(
        step=step.name,
        title=step.title,
        tool=step.tool,
        ok=not answer.is_error and facts.get("status", "succeeded") in ("succeeded", "running"),
        summary=text if answer.is_error else text.partition("\n")[0],
        seconds=seconds,
        cost_usd=f"{before - after:f}",
        balance_usd=f"{after:f}",
        task_id=str(facts.get("task_id", "")),
        model=str(facts.get("model", "")),
        price=_price(facts, before - after),
        files=tuple(str(artifact["path"]) for artifact in artifacts if artifact.get("path")),
    )
    show.done(step, made)
    return made


def _text(answer: CallToolResult) -> str:
    return "\n".join(block.text for block in answer.content if block.type == "text")


def _structured(answer: CallToolResult) -> dict[str, Any]:
    return {} if answer.is_error else (answer.structured_content or {})


def _price(facts: Mapping[str, Any], paid: Decimal) -> str:
    """The price in Novita's list; if the list has none, the amount that was paid."""
    if hour := cast("Mapping[str, Any]", facts.get("instance") or {}).get("usd_per_hour"):
        return f"{_usd(str(hour))}/h"
    return _usd(str(facts.get("estimated_cost_usd") or paid))


def _made(outcome: DemoOutcome) -> list[Text]:
    """For each step a line with title, price and model, and below it the names of its files, without the folder."""
    titles = max((len(made.title) for made in outcome.steps), default=0)
    prices = at_the_point([made.price if made.ok else "-" for made in outcome.steps])
    lines: list[Text] = []
    for made, price in zip(outcome.steps, prices, strict=True):
        title = (made.title.ljust(titles), "" if made.ok else "red")
        lines.append(Text.assemble(title, "  ", (price, "yellow"), "  ", (made.model or made.tool, "cyan")))
        names = [Path(path).name for path in made.files] or [made.summary if made.ok else "failed"]
        lines += [Text(f"  {name}") for name in names]
    return lines


def ending(outcome: DemoOutcome, width: int | None) -> list[Text]:
    """The text after the last step: what was made, where it is, what it cost, and what to try next."""
    lines = [Text(), *_made(outcome), Text()]
    if not outcome.ok:
        return [*lines, *(Text(line, style="red") for line in wrapped(f"Stopped. {outcome.error}", width))]
    files = sum(len(made.files) for made in outcome.steps)
    lines += [Text(f"{counted(files, 'file')}, in"), Text(f"  {outcome.folder}", style="bold"), Text()]
    balance = f"Balance {_usd(outcome.balance_before_usd)} -> {_usd(outcome.balance_after_usd)}: "
    told = f"{balance}{_usd(outcome.spent_usd)} of play money, at Novita's prices. Nothing real was spent."
    lines += [Text(line) for line in wrapped(told, width)]
    program = short_command()
    for title, commands in (
        ("Play on, without a key:", ("call generate_image --prompt owl --simulate", "tools")),
        ("For real:", (f"install {likely_host(Path.home(), sys.platform)}", "doctor")),
    ):
        lines += [Text(), Text(title), *(Text(f"  {program} {words}", style="bold") for words in commands)]
    return lines


def opening(outcome: DemoOutcome, tools: int, width: int | None) -> list[Text]:
    """The text before the first step."""
    told = (
        "A simulator in Novita's place, the server as a child process over stdio: "
        f"{counted(tools, 'tool')}, {_usd(outcome.balance_before_usd)} of play money."
    )
    return [Text("novita-mcp demo", style="bold"), *(Text(line) for line in wrapped(told, width)), Text()]


class _Silent:
    """Shows nothing, for --json."""

    def started(self, outcome: DemoOutcome, tools: int) -> None:
        return None

    def begin(self, step: Step) -> ProgressFnT:
        async def report(progress: float, total: float | None, message: str | None) -> None:
            return None

        return report

    def done(self, step: Step, made: Made) -> None:
        return None

    def finished(self, outcome: DemoOutcome) -> None:
        return None


class _PlainLines:
    """Shows plain lines, for a file or a pipe."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._width = columns() if not console.is_terminal else console.width

    def _say(self, *lines: Text) -> None:
        for line in lines:
            self._console.print(line, soft_wrap=True)

    def started(self, outcome: DemoOutcome, tools: int) -> None:
        self._say(*opening(outcome, tools, self._width))

    def begin(self, step: Step) -> ProgressFnT:
        self._say(Text(f"{step.title} ({step.tool})"))
        last = ""

        async def report(progress: float, total: float | None, message: str | None) -> None:
            nonlocal last
            now = doing(message).partition(", ")[0]
            if now and now != last:  # only changes; a line for every second would fill the file
                self._say(Text(f"  {now}"))
                last = now

        return report

    def done(self, step: Step, made: Made) -> None:
        told = f"{made.summary} {made.price}, balance {_usd(made.balance_usd)}."
        self._say(*(Text(line) for line in wrapped(told, self._width, first="  ")))

    def finished(self, outcome: DemoOutcome) -> None:
        self._say(*ending(outcome, self._width))


class Bars(_PlainLines):
    """Shows, on a terminal, a bar for each step with its time, and the falling balance.

    A bar shows no percentage: few models report progress, and we do not guess it.
    """

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        narrow = console.width < _WIDE
        balance = [] if narrow else [_Balance(table_column=Column(no_wrap=True))]
        self._room = console.width - _NARROW_REST - (0 if narrow else _WIDE_REST)
        self.bars = Progress(
            TextColumn("[bold]{task.description}", table_column=Column(no_wrap=True)),
            BarColumn(bar_width=8 if narrow else 16),
            _Elapsed(table_column=Column(no_wrap=True)),
            *balance,
            _Note(table_column=Column(no_wrap=True)),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}
        self._money = ""

    def started(self, outcome: DemoOutcome, tools: int) -> None:
        super().started(outcome, tools)
        self._money = outcome.balance_before_usd
        self.bars.start()

    def begin(self, step: Step) -> ProgressFnT:
        bar = self.bars.add_task(step.title, total=None, note="", balance=self._money)
        self._tasks[step.name] = bar

        async def report(progress: float, total: float | None, message: str | None) -> None:
            self.bars.update(bar, note=shortened(doing(message), self._room))

        return report

    def done(self, step: Step, made: Made) -> None:
        self._money = made.balance_usd
        bar = self._tasks[step.name]
        count = len(made.files)
        note = "failed" if not made.ok else "ready" if not count else "1 file" if count == 1 else counted(count, "file")
        self.bars.update(bar, balance=made.balance_usd, note=note)
        self.bars.stop_task(bar)
        if made.ok:
            self.bars.update(bar, completed=100, total=100)

    def finished(self, outcome: DemoOutcome) -> None:
        self.bars.stop()
        super().finished(outcome)


_WIDE = 80
_NARROW_REST = 17 + 1 + 8 + 1 + 6 + 1
"""The width that is not left for the note: the title, the bar, the seconds, and a blank after each."""
_WIDE_REST = 8 + 8 + 1
"""What more is not left for it on a wide terminal: the longer bar, the balance and its blank."""


class _Elapsed(ProgressColumn):
    """The column with the time that a step has taken."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.elapsed or 0:.1f} s".rjust(6), style="dim")


class _Balance(ProgressColumn):
    """The column with the balance after the step."""

    def render(self, task: Task) -> Text:
        return Text(_usd(task.fields["balance"]).rjust(8), style="yellow")


class _Note(ProgressColumn):
    """The column with the server's last message."""

    def render(self, task: Task) -> Text:
        return Text(str(task.fields["note"]), style="dim")


def _usd(amount: str) -> str:
    return say_exactly(Decimal(amount))
