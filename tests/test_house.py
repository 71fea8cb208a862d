"""The drawing of the house in docs/how-it-works.md is of the house as it stands."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

PLACE = Path(__file__).parents[1] / "scripts" / "house.py"

pytestmark = pytest.mark.skipif(not PLACE.exists(), reason="away from the source")


def test_the_drawing_is_fresh_and_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stale: run python scripts/house.py."""
    monkeypatch.setattr(sys, "path", [str(PLACE.parent), *sys.path])  # scripts share a module beside them
    spec = spec_from_file_location("house", PLACE)
    assert spec is not None
    assert spec.loader is not None
    script = module_from_spec(spec)
    spec.loader.exec_module(script)

    shown = script.PAGE.read_text(encoding="utf-8")
    assert shown == script.page()
    house = script.layout()
    found = script.rooms(house)
    assert {"server", "tools/kit", "novita/media", "simulator/core"} <= found.keys()
    for room in found:
        assert f"| `{room}` |" in shown
    assert "serverless -> gpu" in shown
    assert not found["novita/core"], "the ground of novita/ knows nobody"
