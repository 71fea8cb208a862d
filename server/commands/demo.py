"""`novita-mcp demo`: the whole product in under a minute, on the simulator, with nothing to configure.

The simulator runs in this process; the server is a real child over stdio, spoken to as any MCP client would. What is
shown is a list of steps: a later one may use what an earlier one made.
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
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.table import Column, Table
from rich.text import Text

from ...novita.core.money import show_usd
from ...simulator.core.world import DEFAULT_KEY, World
from ...simulator.core.world import WorldSettings as WorldSettings
from ...simulator.serving import Running, serve
from ..config.places import played_folder
from ..settings import Settings
from ..starting import this_interpreter

TASK_SECONDS = 2.5
"""How long the simulator takes for a picture: long enough to see a bar move."""


@dataclass(frozen=True)
class Step:
    """One call of one tool.

    Args:
        name: How later steps call it.
        title: What a person reads beside the bar.
        arguments: `{name}` inside a text becomes the task id of that earlier step: `task:{picture}/0`.
    """

    name: str
    title: str
    tool: str
    arguments: Mapping[str, Any]


STEPS: tuple[Step, ...] = (
    Step(
        "picture",
        "A picture",
        "generate_image",
        {"prompt": "a red fox in snow", "size": "1024x1024"},
    ),
    Step(
        "posters",
        "Three variants",
        "generate_image",
        {"prompt": "a red fox poster", "count": 3, "seed": 7},
    ),
    Step(
        "night",
        "The picture edited",
        "edit_image",
        {"image": "task:{picture}/0", "prompt": "make it night, with stars"},
    ),
    Step(
        "film",
        "The edit in motion",
        "generate_video",
        {"image": "task:{night}/0", "prompt": "the fox looks up", "duration": 3}
        # The yes that a user gives after reading the price, or that nobody knows it.
        | {"confirm": True},
    ),
    Step(
        "voice",
        "A line read aloud",
        "generate_speech",
        {"text": "The snow was quiet, and so was the fox."},
    ),
    Step(
        "machine",
        "A GPU that boots",
        "create_gpu_instance",
        {"name": "fox-den", "image": "pytorch/pytorch:latest", "min_memory_gb": 24, "stop_after_hours": 1}
        # The yes that a user gives after reading the price.
        | {"confirm": True},
    ),
)


@dataclass(frozen=True)
class Made:
    """What came of a step. Money in USD, as the (simulated) balance fell; a machine costs from then on."""

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
    files: tuple[str, ...] = ()


@dataclass
class DemoOutcome:
    """The demo as a whole."""

    folder: str
    ok: bool = False
    error: str = ""
    balance_before_usd: str = ""
    balance_after_usd: str = ""
    spent_usd: str = "0"
    seconds: float = 0.0
    steps: list[Made] = field(default_factory=list[Made])


class Show(Protocol):
    """How a run is shown while it goes on."""

    def started(self, outcome: DemoOutcome, tools: int) -> None: ...
    def begin(self, step: Step) -> ProgressFnT: ...
    def done(self, step: Step, made: Made) -> None: ...
    def finished(self, outcome: DemoOutcome) -> None: ...


def run_demo(settings: Settings, *, as_json: bool, steps: Sequence[Step] = STEPS, show: Show | None = None) -> int:
    """Run the steps and show them on stdout (or as `show` does); 0 if all of them worked."""
    folder = settings.output_dir or played_folder("demo")
    show = show or _show(as_json)
    try:
        with serve(World(WorldSettings(task_seconds=TASK_SECONDS))) as running:
            outcome = anyio.run(_run, running, folder, show, steps)
    except KeyboardInterrupt:
        return 130
    if as_json:
        sys.stdout.write(json.dumps(asdict(outcome), indent=2) + "\n")
    return 0 if outcome.ok else 1


def _show(as_json: bool) -> Show:
    console = Console(highlight=False)
    if as_json:
        return _Silent()
    return Bars(console) if console.is_terminal else _PlainLines(Console(highlight=False, width=120))


async def _run(running: Running, folder: Path, show: Show, steps: Sequence[Step]) -> DemoOutcome:
    began = time.monotonic()
    outcome = DemoOutcome(folder=str(folder))
    # What the server has to say besides the protocol belongs to its host, not on the stage; kept in case it fails.
    with tempfile.TemporaryFile("w+", encoding="utf-8") as log:
        async with Client(stdio_client(_child(running, folder), errlog=log)) as client:
            await _play(client, outcome, show, steps)
        log.seek(0)
        sys.stderr.write(log.read())
    outcome.seconds = round(time.monotonic() - began, 1)
    show.finished(outcome)
    return outcome


async def _play(client: Client, outcome: DemoOutcome, show: Show, steps: Sequence[Step]) -> None:
    """Take the steps in turn; the first that fails is the last."""
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
    """The server as a host would start it, on the simulator, leaving the user's own journal and key alone."""
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
        files=tuple(str(artifact["path"]) for artifact in artifacts if artifact.get("path")),
    )
    show.done(step, made)
    return made


def _text(answer: CallToolResult) -> str:
    return "\n".join(block.text for block in answer.content if block.type == "text")


def _structured(answer: CallToolResult) -> dict[str, Any]:
    return {} if answer.is_error else (answer.structured_content or {})


def _table(outcome: DemoOutcome) -> Table:
    """What was made, where, and at what cost. Files are named within the folder, which is said once."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("made", no_wrap=True)
    table.add_column("file", overflow="fold")
    table.add_column("with", no_wrap=True, style="cyan")
    table.add_column("cost", no_wrap=True, justify="right", style="yellow")
    for made in outcome.steps:
        names = [Path(path).name for path in made.files] or [made.summary if made.ok else "failed"]
        title = Text(made.title, style="" if made.ok else "red")
        table.add_row(title, Text("\n".join(names)), made.model or made.tool, _usd(made.cost_usd))
    return table


def ending(outcome: DemoOutcome) -> list[RenderableType]:
    """What is said when all is done: the table, where the files are, what it cost."""
    lines: list[RenderableType] = ["", _table(outcome), ""]
    if outcome.ok:
        files = sum(len(made.files) for made in outcome.steps)
        lines += [
            Text.assemble(f"{files} files in ", (outcome.folder, "bold")),
            f"Balance {_usd(outcome.balance_before_usd)} -> {_usd(outcome.balance_after_usd)}: "
            f"{_usd(outcome.spent_usd)} of play money, in {outcome.seconds:.0f} s. Nothing real was spent.",
            "For real: NOVITA_API_KEY=your-key novita-mcp install HOST (README says more).",
        ]
    else:
        lines.append(Text(f"Stopped. {outcome.error}", style="red"))
    return lines


def opening(outcome: DemoOutcome, tools: int) -> list[RenderableType]:
    """What is said before the first step."""
    return [
        Text("novita-mcp demo", style="bold"),
        f"A simulator in Novita's place, the server as a child process over stdio: {tools} tools, "
        f"{_usd(outcome.balance_before_usd)} of play money.",
        "",
    ]


class _Silent:
    """For --json."""

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
    """Plain lines, for a file or a pipe."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def _say(self, *lines: RenderableType) -> None:
        for line in lines:
            self._console.print(line, soft_wrap=not isinstance(line, Table))

    def started(self, outcome: DemoOutcome, tools: int) -> None:
        self._say(*opening(outcome, tools))

    def begin(self, step: Step) -> ProgressFnT:
        self._say(Text(f"{step.title} ({step.tool})"))

        async def report(progress: float, total: float | None, message: str | None) -> None:
            self._say(Text(f"  {_percent(progress, total):3.0f} %  {message or ''}"))

        return report

    def done(self, step: Step, made: Made) -> None:
        self._say(Text(f"  {made.summary} Cost {_usd(made.cost_usd)}, balance {_usd(made.balance_usd)}."))

    def finished(self, outcome: DemoOutcome) -> None:
        self._say(*ending(outcome))


class Bars(_PlainLines):
    """A bar for each step, and the balance falling, on a terminal."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.bars = Progress(
            TextColumn("[bold]{task.description}", table_column=Column(no_wrap=True)),
            BarColumn(bar_width=20),
            _Balance(table_column=Column(no_wrap=True)),
            _Note(table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
            console=console,
            expand=True,
        )
        self._tasks: dict[str, TaskID] = {}
        self._money = ""

    def started(self, outcome: DemoOutcome, tools: int) -> None:
        super().started(outcome, tools)
        self._money = outcome.balance_before_usd
        self.bars.start()

    def begin(self, step: Step) -> ProgressFnT:
        bar = self.bars.add_task(step.title, total=None, note=step.tool, balance=self._money)
        self._tasks[step.name] = bar

        async def report(progress: float, total: float | None, message: str | None) -> None:
            percent = _percent(progress, total)
            # Where Novita tells no progress the server's number only creeps: then the bar just pulses.
            note = (message or "").partition(", ")[2] or message
            self.bars.update(bar, completed=percent, total=100 if percent > 10 else None, note=note)

        return report

    def done(self, step: Step, made: Made) -> None:
        self._money = made.balance_usd
        note = f"{made.summary} {made.seconds:.1f} s" if made.ok else "failed"
        bar = self._tasks[step.name]
        self.bars.update(bar, balance=made.balance_usd, note=note)
        if made.ok:
            self.bars.update(bar, completed=100, total=100)

    def finished(self, outcome: DemoOutcome) -> None:
        self.bars.stop()
        super().finished(outcome)


class _Balance(ProgressColumn):
    """The balance after each step."""

    def render(self, task: Task) -> Text:
        return Text(_usd(task.fields["balance"]).rjust(8), style="yellow")


class _Note(ProgressColumn):
    """What the server said last."""

    def render(self, task: Task) -> Text:
        return Text(str(task.fields["note"]), style="dim")


def _percent(progress: float, total: float | None) -> float:
    return 100 * progress / (total or 100)


def _usd(amount: str) -> str:
    return f"${show_usd(Decimal(amount))}"
