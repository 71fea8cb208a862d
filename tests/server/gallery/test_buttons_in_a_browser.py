"""What a user does in the gallery, in a real browser: buttons, large files, links that expired; and what that notes."""

import re
from pathlib import Path

from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import World

from .browser import MARKS, in_a_browser

pytestmark = MARKS


def test_what_is_clicked_is_done_and_what_was_shown_was_delivered(
    settings: Settings, world: World, tmp_path: Path
) -> None:
    world.set(task_seconds=100)
    seen = in_a_browser("buttons.mjs", settings, world, tmp_path)

    assert seen["errors"] == []
    assert re.fullmatch(r"Working( \d+ %)?, about [1-9]\d* s left\.", seen["working"])
    # A job that nobody has seen the files of is joined by the same call; once the page has shown them it was delivered.
    assert seen["while"] and not seen["after"]
    assert seen["messages"] == [
        "Make variants of task:ID/1. Tell me the price first.",
        "Use task:ID/0 as the input of the next step.",
    ]
    ((uri, mime, begins),) = seen["download"]
    assert (uri, mime) == ("novita://artifacts/ID/0", f"image/{begins.lower()}")
    # By link where that may be; else a still and the path.
    assert seen["link"] == "link" and seen["opened"]
    assert seen["still"] == "A still of image 1: a fox in the snow"
    assert seen["copied"] and seen["pasted"] == "/home/me/fox in the snow.png"
    assert seen["expired"] == "Its link has expired." and seen["renewed"]
