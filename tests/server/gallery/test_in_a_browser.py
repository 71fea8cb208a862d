"""The gallery in a real browser, in the official bridge's host, against the real server and the simulator."""

from pathlib import Path

from novita_mcp.server.gallery.pages import GALLERY, MIME
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import World

from .browser import MARKS, in_a_browser

pytestmark = MARKS


def test_a_video_goes_from_progress_to_playing_and_nothing_hostile_runs(
    settings: Settings, world: World, tmp_path: Path
) -> None:
    world.set(task_seconds=100)
    seen = in_a_browser("gallery.mjs", settings, world, tmp_path)
    hostile = '<img src=x onerror="window.pwned=1">&lt;b&gt;<script>window.pwned=1</script>'

    assert seen["page"] == {"uri": GALLERY, "mimeType": MIME}
    assert seen["errors"] == []
    # From progress to playing, by looks that never wait.
    assert seen["working"]["status"].startswith("Working")
    assert seen["working"]["heading"] == hostile
    assert {look["wait_seconds"] for look in seen["polls"]} == {0}
    assert seen["video"]["width"] > 0 and seen["video"]["controls"]
    assert seen["done"]["status"] == "Done."
    assert seen["done"]["money"].startswith("Balance left: $")
    assert "about $" in seen["done"]["facts"] or "price unknown" in seen["done"]["facts"]
    # What others wrote is text.
    assert seen["pwned"] is None and seen["tags"] == {"images": 0, "scripts": 1, "heading": hostile}
    assert seen["hostile"] == {"pwned": None, "images": 0, "scripts": 1}
    assert hostile in seen["problem"]
    # Buttons, links that expired, sounds and pictures.
    (message,) = seen["host"]["messages"]
    assert message.startswith("Use task:") and "/0" in message
    assert "expired" in seen["expired"] and seen["renewed"] in ("resource", "link")
    assert seen["audio"] and seen["alt"] == "a fox in the snow"
    assert "is done" in seen["host"]["context"][0] and seen["host"]["heights"] > 1
    # For everybody, at every width.
    assert seen["axe"] == {"video": [], "pictures": [], "list": []}
    assert seen["overflow-360"] == seen["overflow-320"] == 0
    # The policy keeps the rest away.
    assert seen["blocked"]["fetched"] == "refused" and seen["blocked"]["pwned"] is None
    assert {"connect-src", "img-src", "script-src-elem", "frame-src"} <= set(seen["blocked"]["blocked"])
