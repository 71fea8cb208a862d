"""Answers that overtake each other on their way to a page, in a real browser, against the real server."""

from pathlib import Path

from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import World

from .browser import MARKS, in_a_browser

pytestmark = MARKS


def test_a_question_finds_its_line_and_an_older_answer_replaces_no_newer_one(
    settings: Settings, world: World, tmp_path: Path
) -> None:
    seen = in_a_browser("overtaking.mjs", settings, world, tmp_path)
    assert seen == {
        "errors": [],
        "lines": ["newer"],
        "money": "Balance left: $7.25",
        "opened": ["a quick fox"],
        "listed": {"tasks": 1, "images": 0},
    }
