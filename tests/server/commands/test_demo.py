"""`novita-mcp demo`, as somebody meets it who has just installed it: an empty home, no key, nothing configured."""

import html
import json
import os
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from novita_mcp.server.commands.demo import STEPS, Step, run_demo
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.lifecycle import known_models
from PIL import Image

pytestmark = pytest.mark.slow

PICTURE = Path(__file__).parents[3] / "docs" / "session.svg"
DEMO = [sys.executable, "-m", "novita_mcp.server", "demo"]


def empty_home(home: Path) -> dict[str, str]:
    """Nothing but where the home and the programs are; a key that must not be used."""
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "PYTHONPATH") if name in os.environ}
    return {**kept, "HOME": str(home), "USERPROFILE": str(home), "NOVITA_API_KEY": "sk-of-the-user"}


def test_pictures_are_made_edited_and_animated_and_scripts_are_told_where(tmp_path: Path) -> None:
    done = subprocess.run([*DEMO, "--json"], env=empty_home(tmp_path), cwd=tmp_path, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["ok"]
    assert [made["step"] for made in told["steps"]] == [step.name for step in STEPS]
    assert Path(told["folder"]).is_relative_to(tmp_path)
    files = [Path(file) for made in told["steps"] for file in made["files"]]
    assert sorted(files) == sorted(Path(told["folder"]).iterdir())
    pictures = [file for file in files if file.suffix in (".png", ".jpg", ".jpeg", ".webp")]
    assert len(pictures) >= 5
    assert {".mp4", ".mp3"} <= {file.suffix for file in files}
    for picture in pictures:
        with Image.open(picture) as image:
            image.load()
    costs = [Decimal(made["cost_usd"]) for made in told["steps"]]
    *media, machine = costs
    assert all(cost > 0 for cost in media)
    # What we say is by our catalogue; what is charged, in steps of 0.0001, is by the simulator's own list.
    for made, cost in zip(told["steps"], media, strict=False):
        assert 0 <= cost - Decimal(made["price"].removeprefix("$")) <= Decimal("0.0001"), made
    assert re.fullmatch(r"\$0\.\d\d/h", told["steps"][-1]["price"])
    gone = {model.id for model in known_models().values() if model.state == "retired"}
    assert not gone & {made["model"] for made in told["steps"]}
    film = next(made for made in told["steps"] if made["step"] == "film")
    assert (film["model"], Decimal(film["cost_usd"])) == ("kling-v3.0-std-i2v", 3 * Decimal("0.084"))  # a second
    assert machine >= 0  # by the second, and it has only just booted
    assert told["steps"][-1]["summary"] == "Instance fox-den is running."
    assert sum(costs) == Decimal(told["spent_usd"])
    assert Decimal(told["balance_before_usd"]) - Decimal(told["spent_usd"]) == Decimal(told["balance_after_usd"])
    assert told["seconds"] < 60

    if PICTURE.is_file():  # not away from the source
        shown = text_of_the_picture()
        for made in told["steps"]:
            assert {made["title"], made["model"] or made["tool"]} <= set(shown)
            assert made["price"] in shown
            assert all(any(line.endswith(undated(file)) for line in shown) for file in made["files"]), made["files"]


def undated(file: str) -> str:
    """A file's name without its day."""
    return Path(file).name.partition("_")[2]


def text_of_the_picture() -> list[str]:
    """README's picture, piece by piece. It is made by scripts/session_picture.py, and stale where this fails."""
    drawn = PICTURE.read_text(encoding="utf-8")
    pieces = re.findall(r"<text[^>]*>([^<]*)</text>", drawn)
    return [html.unescape(piece).replace("\xa0", " ").strip() for piece in pieces]


def test_in_a_pipe_it_speaks_in_plain_lines(tmp_path: Path) -> None:
    done = subprocess.run(DEMO, env=empty_home(tmp_path), cwd=tmp_path, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert "%" not in done.stdout
    assert "  processing\n" in done.stdout
    assert "  1 file from kling-v3.0-std-i2v. $0.252, balance $" in done.stdout
    assert str(tmp_path) in done.stdout
    assert not (tmp_path / "Downloads").exists()
    for file in next(tmp_path.rglob("simulated/demo")).iterdir():
        assert file.name in done.stdout
    _, _, ending = done.stdout.partition("Play on")
    commands = [line.strip() for line in ending.splitlines() if line.startswith("  ")]
    assert len(commands) == 4
    for command in commands:
        typed = command + (" --offline" if command.endswith("doctor") else "")
        ran = subprocess.run(
            typed, shell=True, env=empty_home(tmp_path), cwd=tmp_path, input="y\n", capture_output=True, text=True
        )
        assert ran.returncode == 0, (typed, ran.stdout, ran.stderr)


@pytest.mark.skipif(sys.platform == "win32", reason="a pseudo terminal of POSIX")
def test_on_a_terminal_it_draws_bars(tmp_path: Path) -> None:
    import pty

    ours, its = pty.openpty()
    try:
        process = subprocess.Popen(
            DEMO, env={**empty_home(tmp_path), "TERM": "xterm", "COLUMNS": "80"}, stdout=its, cwd=tmp_path
        )
        os.close(its)
        drawn = b""
        while chunk := _read(ours):
            drawn += chunk
        assert process.wait() == 0
    finally:
        os.close(ours)
    shown = drawn.decode()
    assert "━" in shown
    assert "\x1b[" in shown
    assert "$100.00" in shown


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux says so when the other side has closed
        return b""


def test_a_step_that_fails_ends_it_with_code_1_and_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = (Step("bad", "A picture", "generate_image", {"prompt": "a fox", "model": "no-such-model"}), STEPS[0])

    code = run_demo(Settings(output_dir=tmp_path), as_json=True, steps=steps)

    told = json.loads(capsys.readouterr().out)
    assert code == 1
    assert not told["ok"]
    assert "no-such-model" in told["error"]
    assert len(told["steps"]) == 1


@pytest.mark.skipif(not PICTURE.is_file(), reason="away from the source")
def test_the_picture_of_readme_cuts_no_letter() -> None:
    """A text that is cut to its line loses its underscores in fonts that hang low."""
    drawn = PICTURE.read_text(encoding="utf-8")
    found = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', drawn)
    assert found is not None
    assert "clip-path" not in drawn
    assert max(float(y) for y in re.findall(r'<text[^>]* y="([\d.]+)"', drawn)) < float(found[2])
