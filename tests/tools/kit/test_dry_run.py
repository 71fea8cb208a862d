"""dry_run: every tool that spends shows the request as it would go out and its price, and sends nothing."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest
from novita_mcp.novita.journal.journal import Journal
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.batches.state import BatchState
from novita_mcp.simulator.core.world import Received, World
from novita_mcp.simulator.serving import Running
from novita_mcp.tools import TOOLSETS
from novita_mcp.tools.kit.dry_run import shown_body

from ...building import quick
from ...conftest import Connect, text_of
from ..one_call_per_tool import CALLS, NEED_MORE, Things, spending_tools

Json = dict[str, Any]

PROPERTIES: dict[str, Json] = {
    spec.name: spec.build().taken["properties"] for toolset in TOOLSETS for spec in toolset.tools
}


def test_every_tool_that_spends_can_be_dry_run() -> None:
    assert {name for name in spending_tools() if "dry_run" not in PROPERTIES[name]} == set()


def test_every_tool_that_spends_has_a_good_call_to_walk_with() -> None:
    assert set(CALLS) | NEED_MORE == set(spending_tools())


@pytest.mark.old_models
@pytest.mark.parametrize("name", list(CALLS))
async def test_a_dry_run_shows_what_would_go_out_and_its_price_and_sends_nothing(
    name: str, connect: Connect, world: World, simulator: Running, settings: Settings, tmp_path: Path
) -> None:
    arguments = CALLS[name](Things(tmp_path, world, simulator.url))
    # Whatever it costs: a dry run does not ask.
    async with connect(toolsets="all", build=quick, confirm_above_usd=Decimal(0)) as client:
        dry = await client.call_tool(name, {**arguments, "dry_run": True})
        assert not dry.is_error, text_of(dry)
        shown: Json = dry.structured_content or {}
        assert shown["status"] == "dry_run"
        assert shown["estimated_cost_usd"] == "unknown" or Decimal(shown["estimated_cost_usd"]) > 0
        assert not world.charges
        assert not [request for request in world.requests if request.method != "GET"]
        journal = Journal(Path(settings.journal))
        assert await journal.recent(_owner(settings), limit=5) == []
        await journal.close()

        done = await client.call_tool(name, {**arguments, "confirm": True})

        assert not done.is_error, text_of(done)
        answer: Json = done.structured_content or {}
        assert answer.get("estimated_cost_usd", shown["estimated_cost_usd"]) == shown["estimated_cost_usd"]
        sent = _sent(world, shown["request"])
        assert sent, f"{shown['request']} was shown, and something else was sent"
        body: Json = shown["request"].get("body", shown["request"])
        if "upload" in shown:
            assert all(map(_is_form, _sent(world, shown["upload"])))
            body = {**body, "input_file_id": _uploaded(world, shown["upload"]["form"])}
        assert any(_is_form(one) or _same(body, one.body, seeded="seed" in arguments) for one in sent)


def _owner(settings: Settings) -> str:
    from novita_mcp.novita.core.client import owner_of

    return owner_of(settings.api_key)


def _sent(world: World, shown: Json) -> list[Received]:
    """What was sent to where the dry run said it would go; to anywhere, where it did not say."""
    posts = [request for request in world.requests if request.method == shown.get("method", "POST")]
    return [request for request in posts if request.path == shown.get("path", request.path)]


def _is_form(request: Received) -> bool:
    """A form with files: the simulator remembers where it went, not what was in it."""
    return request.headers.get("content-type", "").startswith("multipart/form-data")


def _uploaded(world: World, form: Json) -> str:
    """The id of the file that a form stands for, of whose rows the first were shown."""
    file = form["file"]
    (kept,) = (kept for kept in world.area(BatchState).files.values() if kept.filename == file["name"])
    rows = [json.loads(line) for line in kept.content.splitlines()]
    assert (kept.purpose, len(kept.content), len(rows)) == (form["purpose"], file["bytes"], file["rows"])
    assert file["first_rows"]
    assert rows[: len(file["first_rows"])] == file["first_rows"]
    return kept.id


def _same(shown: Any, sent: Any, *, seeded: bool) -> bool:
    """Whether all that was shown was sent. Long values are shown shortened; a seed nobody gave is drawn anew."""
    if isinstance(shown, dict) and isinstance(sent, dict):
        theirs = cast(Json, sent)
        return all(
            name in theirs and ((name == "seed" and not seeded) or _same(value, theirs[name], seeded=seeded))
            for name, value in cast(Json, shown).items()
        )
    if isinstance(shown, list) and isinstance(sent, list):
        ours, others = cast("list[Any]", shown), cast("list[Any]", sent)
        return len(ours) == len(others) and all(_same(a, b, seeded=seeded) for a, b in zip(ours, others, strict=True))
    if isinstance(shown, str) and shown.endswith("characters)"):
        return str(sent).startswith(shown[:40])
    return bool(shown == sent)


@pytest.mark.parametrize("head", ["", "data:image/png;base64,", "DATA:image/png;base64,"])
def test_of_a_file_in_a_request_only_the_beginning_is_shown(head: str) -> None:
    """As data URI or as bare base64: nobody reads it, and a model pays for every letter."""
    shown = shown_body({"image": head + "iVBORw0KGgo" * 100, "deep": [{"image_file": head + "QUJD" * 90}]})

    assert len(json.dumps(shown)) < 320
    assert "more characters" in shown["image"]


def test_a_long_text_without_blanks_is_no_file_while_it_is_short() -> None:
    assert shown_body({"prompt": "words " * 50, "id": "a" * 120}) == {"prompt": "words " * 50, "id": "a" * 120}
