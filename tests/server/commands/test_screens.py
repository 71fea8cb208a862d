"""What people see, at three widths: no word, name or path is broken, and amounts stand under each other's point.

Stored in screens/; `pytest tests/server/commands/test_screens.py --update-surface` rewrites them.
"""

import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from dataclasses import fields, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import anyio
import pytest
from novita_mcp.novita.core.clock import SystemClock
from novita_mcp.novita.core.costs import Cost
from novita_mcp.novita.journal.journal import Journal
from novita_mcp.novita.journal.rows import JobState
from novita_mcp.server.cli import main
from novita_mcp.server.commands import demo, doctor
from novita_mcp.server.commands.demo import Bars, DemoOutcome, Made, Step, ending, opening
from novita_mcp.server.commands.doctor import Check
from novita_mcp.server.commands.layout import doing
from novita_mcp.server.commands.models import model_lines
from novita_mcp.server.commands.tool_flags import tool_names
from novita_mcp.server.settings import Settings
from rich.console import Console

SCREENS = Path(__file__).with_name("screens")
WIDTHS = (60, 80, 120)
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch) -> Generator[Path]:
    """A home whose name is as long each time, so that lines break at the same places."""
    made = Path(tempfile.mkdtemp(prefix="n", dir=Path(tempfile.gettempdir()).resolve()))
    for item in fields(Settings):
        monkeypatch.delenv(item.metadata["env"], raising=False)
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_DOWNLOAD_DIR", "CODEX_HOME", "APPDATA", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(made))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setattr(sys, "argv", ["novita-mcp"])
    yield made
    shutil.rmtree(made)


class _Autumn(SystemClock):
    """One day of October, whenever it is."""

    def wall(self) -> float:
        return datetime(2026, 10, 5, 12, tzinfo=UTC).timestamp()


async def _write_journal(path: Path) -> None:
    journal = Journal(path, clock=_Autumn())
    for tool, model, usd in (
        ("generate_image", "ming-image-0.1-design", Decimal("0.004096")),
        ("generate_video", "kling-v3.0-std-i2v", Decimal("0.252")),
        ("create_gpu_instance", "RTX 4090 24GB x1", Decimal("12.5")),
        ("generate_image", "an-image-model-that-has-no-price", None),
    ):
        job = await journal.begin(owner="me", kind="media", tool=tool, model=model, title="a fox", cost=Cost(usd))
        await journal.finish(job.key, JobState.SUCCEEDED)
    await journal.close()


def spend(home: Path) -> None:
    path = home / "journal.sqlite3"
    if not path.exists():
        anyio.run(_write_journal, path)
    assert main(["spend", "2026-10", "--journal", str(path)]) == 0


def played() -> DemoOutcome:
    """What the demo tells of a run, as if it had just been."""
    told = (
        Made(
            "picture", "A fox in the snow", "generate_image", True, "1 file from ming-image-0.1-design.", 0.6,
            "0.0041", "99.9959", "sync-1", "ming-image-0.1-design", "$0.004096",
            ("/d/2026-11-30_a-red-fox-in-snow_1.png",),
        ),
        Made(
            "film", "It looks up", "generate_video", True, "1 file from kling-v3.0-std-i2v.", 5.2,
            "0.252", "99.7439", "task-1", "kling-v3.0-std-i2v", "$0.252",
            ("/d/2026-11-30_the-fox-looks-up_1_run12.mp4",),
        ),
        Made(
            "machine", "A GPU to train on", "create_gpu_instance", True, "Instance fox-den is running.", 4.0,
            "0.0002", "99.7437", "i-1", "", "$0.21/h",
        ),
    )  # fmt: skip
    return DemoOutcome(
        "/home/you/.local/share/novita-mcp/simulated/demo", True, "", "100", "99.7437", "0.2563", 9.8, [*told]
    )


def the_demo(home: Path) -> None:
    width = int(os.environ["COLUMNS"])
    console = Console(highlight=False, width=width)
    for line in (*opening(played(), 58, width), *ending(played(), width)):
        console.print(line, soft_wrap=True)


def the_models(home: Path) -> None:
    one = {
        "model": "kling-v3.0-std-t2v",
        "state": "live",
        "since": "2026-10-07",
        "sure": "high",
        "evidence": "docs-index-08, notice-01-09-26, phaseo-10-07",
        "price": "$0.084 per second; $0.126 per second",
        "age": "as shipped",
    }
    two = {**one, "model": "flux-1-schnell", "price": "$0.003 per image (a third party's figure; Novita's may differ)"}
    print("\n".join(model_lines([one, two], int(os.environ["COLUMNS"]))))


def the_doctor(home: Path) -> None:
    _configured(home)
    assert main(["doctor", "--offline"]) in (0, 1)


def _configured(home: Path) -> None:
    """A host whose entry is there, and starts a program that everybody has."""
    path = home / ".cursor" / "mcp.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text('{"mcpServers": {"other": {"command": "x"}}}\n')
    assert main(["install", "cursor", "--yes", "--command", "no-such-program"]) == 0
    print("----")


def installed_and_out(home: Path) -> None:
    _configured(home)
    assert main(["uninstall", "cursor", "--yes"]) == 0


def said(*words: str, code: int = 0) -> Callable[[Path], None]:
    def run(home: Path) -> None:
        try:
            got = main([*words])
        except SystemExit as end:  # argparse ends after its help
            got = int(end.code or 0)
        assert got == code

    return run


def greeted(home: Path) -> None:
    from novita_mcp.server.cli import greeting

    print(greeting(), end="")


COMMANDS: dict[str, Callable[[Path], None]] = {
    "bare": greeted,
    "help": said("--help"),
    "call-help": said("call", "--help"),
    "install-help": said("install", "--help"),
    "call-balance": said("call", "get_balance", "--simulate"),
    "version": said("version"),
    "spend": spend,
    "demo": the_demo,
    "models": the_models,
    "doctor": the_doctor,
    "install-uninstall": installed_and_out,
    "install-print": said("install", "vscode", "--print", "--command", "uvx novita-mcp"),
    "completion-help": said("completion", "--help"),
    "simulate-help": said("simulate", "--help"),
    **{
        f"{name}-help": said(name, "--help")
        for name in ("serve", "demo", "doctor", "tools", "uninstall", "spend", "gallery", "key")
    },
    "models-help": said("models", "--help"),
    "tools": said("tools"),
}


def plain(text: str, home: Path) -> str:
    """The same everywhere: another home of as many letters, and no version."""
    stand_in = "/home/you".ljust(len(str(home)), "-")
    text = re.sub(r"\d+ tools on", "58 tools on", text)  # how many there are is held elsewhere
    return re.sub(r"\x1b\[[0-9;]*m", "", text.replace(str(home), stand_in))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_what_a_command_shows_is_as_stored(
    name: str, width: int, home: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if sys.version_info >= (3, 13) and name.endswith("help"):
        pytest.skip("argparse writes flags with two names another way since Python 3.13")
    if not str(home).startswith("/tmp/"):
        pytest.skip("the folder for what is temporary has a longer name here")
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(demo, "short_command", lambda: "novita-mcp")
    sound = Check(
        "versions", "ok", "novita-mcp 0.1.0, Python 3.11.7 on Linux, mcp 2.3.0, httpx 0.28.1, pydantic 2.14.4"
    )
    monkeypatch.setattr(doctor, "_versions", lambda: sound)

    COMMANDS[name](home)

    shown = plain(capsys.readouterr().out, home)
    assert not list(too_wide(shown, width))
    stored = SCREENS / str(width) / f"{name}.txt"
    if request.config.getoption("--update-surface"):
        stored.parent.mkdir(parents=True, exist_ok=True)
        stored.write_text(shown, encoding="utf-8")
    assert shown == stored.read_text(encoding="utf-8")


def too_wide(text: str, width: int) -> Iterator[str]:
    """Lines wider than the screen but for one word that cannot be broken, and for a file's text that is shown."""
    for line in text.splitlines():
        shown = line.startswith(("+", "-", "{", " ")) and '"' in line
        if len(line) > width and len(line.split()) > 1 and not shown:
            yield line


HELPS: list[list[str]] = [
    [],
    *([name] for name in ("serve", "demo", "doctor", "tools", "call", "simulate", "install", "uninstall", "spend")),
    *([name] for name in ("gallery", "models", "completion", "version", "key")),
    *(["call", name] for name in tool_names()),
]


@pytest.mark.parametrize("words", HELPS, ids=lambda words: "-".join(words) or "top")
def test_help_breaks_no_word_and_keeps_to_the_width(
    words: list[str], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    every: dict[int, str] = {}
    for width in (*WIDTHS, 500):
        monkeypatch.setenv("COLUMNS", str(width))
        with pytest.raises(SystemExit):
            main([*words, "--help"])
        every[width] = capsys.readouterr().out
        assert not [line for line in too_wide(every[width], width) if not line.lstrip().startswith("-")]
    assert {tuple(text.split()) for text in every.values()} == {tuple(every[500].split())}


@pytest.mark.parametrize("width", WIDTHS)
def test_tools_are_listed_in_whole_words(width: int, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["tools", "--toolsets", "all"]) == 0
    whole = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines()}

    monkeypatch.setenv("COLUMNS", str(width))
    assert main(["tools", "--toolsets", "all"]) == 0

    for line in capsys.readouterr().out.splitlines():
        assert len(line) <= width
        words = line.removesuffix(" ...").split()
        assert words == whole[words[0]][: len(words)]


def test_a_pipe_gets_lines_as_long_as_they_are(home: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    spend(home)

    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("2026-10-05")]
    assert len(rows) == 4
    assert all(len(line) > 80 for line in rows)


def test_amounts_of_a_table_stand_at_their_point(home: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    for width in WIDTHS:
        monkeypatch.setenv("COLUMNS", str(width))
        spend(home)
        told = capsys.readouterr().out
        points = {line.index(amount) + amount.index(".") for amount in ("0.004096", "0.252", "12.50") for line in told.splitlines() if f" {amount} " in line}  # fmt: skip  # noqa: E501
        assert len(points) == 1, told


@pytest.mark.parametrize("width", WIDTHS)
async def test_bars_keep_to_the_width_and_claim_no_percent(width: int) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=width, highlight=False, record=True)
    bars = Bars(console)
    outcome = replace(played(), steps=[])
    bars.started(outcome, 58)
    for made in played().steps:
        report = bars.begin(Step(made.step, made.title, made.tool, {}))
        for place, state in enumerate(("task t-1 accepted", "task t-1, queued, 0 s", "task t-1, processing, 3 s")):
            await report(place, 100, f"kling-v3.0-std-i2v: {state}")
            (row,) = [task for task in bars.bars.tasks if task.description == made.title]
            assert row.total is None
        bars.done(Step(made.step, made.title, made.tool, {}), made)
        outcome.steps.append(made)
    bars.finished(outcome)

    console.print(bars.bars)
    drawn = console.export_text()
    last = drawn[drawn.rindex("A fox in the snow") :]
    assert "%" not in drawn
    assert [line for line in last.splitlines() if "A GPU to train on" in line and " s " in line and "ready" in line]
    assert all(len(line.rstrip()) <= width for line in last.splitlines())


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("kling-v3.0-std-i2v: submitting", "submitting"),
        ("kling-v3.0-std-i2v: task task-1 accepted", "accepted"),
        ("kling-v3.0-std-i2v: task task-1, 0 s", ""),
        ("kling-v3.0-std-i2v: task task-1, processing, 4 s, about 2 s left", "processing, about 2 s left"),
        ("instance fox-den (i-1), pulling the image, 12 s", "pulling the image"),
        (None, ""),
    ],
)
def test_a_bar_says_what_goes_on(message: str | None, said: str) -> None:
    assert doing(message) == said


def test_no_colour_where_none_is_wanted(home: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=80, highlight=False, no_color=True)
    monkeypatch.setenv("NO_COLOR", "1")
    for line in ending(played(), 80):
        console.print(line)
    drawn = shown.getvalue()
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]", drawn)
    assert main(["doctor", "--offline"]) == 1
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
@pytest.mark.parametrize("words", [["demo"], ["doctor", "--offline"], ["spend"], ["models"], ["--help"]])
def test_whoever_has_seen_enough_ends_it_silently(words: list[str], home: Path) -> None:
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "HOME") if name in os.environ}
    with subprocess.Popen(
        [sys.executable, "-m", "novita_mcp.server", *words],
        env=kept,
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 141
