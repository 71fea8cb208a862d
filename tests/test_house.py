"""The drawing of the house in docs/how-it-works.md is of the house as it stands."""

import pytest

from .scripts import SCRIPTS, script

pytestmark = pytest.mark.skipif(not (SCRIPTS / "house.py").exists(), reason="away from the source")


def test_the_drawing_is_fresh_and_whole() -> None:
    """Stale: run python scripts/house.py."""
    drawing = script("house")

    shown = drawing.PAGE.read_text(encoding="utf-8")
    assert shown == drawing.page()
    house = drawing.layout()
    found = drawing.rooms(house)
    assert {"server", "tools/kit", "novita/media", "simulator/core"} <= found.keys()
    for room in found:
        assert f"| `{room}` |" in shown
    assert "serverless -> gpu" in shown
    assert not found["novita/core"], "the ground of novita/ knows nobody"
