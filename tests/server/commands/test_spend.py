"""`novita-mcp spend`, as a user types it."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from novita_mcp.novita.core.client import owner_of
from novita_mcp.novita.core.costs import Caps, Cost
from novita_mcp.novita.journal.facts import GpuFacts
from novita_mcp.novita.journal.journal import Journal
from novita_mcp.novita.journal.rows import JobState
from novita_mcp.server.cli import main
from novita_mcp.server.commands.spend import run_spend
from novita_mcp.server.settings import SettingError, Settings
from novita_mcp.simulator.core.world import World

from ...conftest import Connect, fields_of

Json = dict[str, Any]


@pytest.fixture
async def chosen(tmp_path: Path) -> Settings:
    """Settings on a journal of three calls: one done, one refused, one without a price."""
    place = tmp_path / "journal.sqlite3"
    journal = Journal(place)
    for model, estimate, state in (
        ("flux-1-schnell", Decimal("0.003"), JobState.SUCCEEDED),
        ("flux-1-schnell", Decimal("0.006"), JobState.REFUSED),
        ("seedream-4.5", None, JobState.SUCCEEDED),
    ):
        job = await journal.begin(
            owner="me",
            kind="media",
            tool="generate_image",
            model=model,
            title="a fox",
            cost=Cost(estimate),
            caps=Caps(unknown=Decimal("0.10")),
        )
        await journal.finish(job.key, state)
    await journal.close()
    return Settings(journal=str(place))


async def told(settings: Settings, capsys: pytest.CaptureFixture[str], **arguments: Any) -> str:
    import anyio.to_thread

    given: Json = {"by": "day,tool,model", "as_json": False} | arguments
    # In a thread: the command brings a loop of its own.
    code = await anyio.to_thread.run_sync(lambda: run_spend(settings, given.pop("period", "today"), **given))
    assert code == 0
    return capsys.readouterr().out


async def test_it_shows_what_was_spent_and_what_is_not_known(
    chosen: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    said = await told(chosen, capsys)
    assert "$0.103 in 3 calls" in said
    assert "flux-1-schnell" in said
    assert f"{datetime.now(UTC).date()}" in said
    assert "With no known price: 1 call, counted as $0.10 in all" in said


async def test_as_json_the_rows_add_up_to_the_total(chosen: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    for by in ("day,tool,model", "model", "tool", ""):
        made: Json = json.loads(await told(chosen, capsys, by=by, as_json=True))
        rows: list[Json] = made["rows"]
        assert sum(Decimal(row["usd"]) for row in rows) == Decimal(made["total"]["usd"]) == Decimal("0.103")
        assert made["total"]["free_calls"] == made["total"]["unpriced_calls"] == 1
    assert len(json.loads(await told(chosen, capsys, by="model", as_json=True))["rows"]) == 2


async def test_an_empty_period_is_nothing(chosen: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert "$0.00 in 0 calls" in await told(chosen, capsys, period="last year")


async def test_looking_makes_no_journal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "none" / "journal.sqlite3"
    assert "$0.00 in 0 calls" in await told(Settings(journal=str(place)), capsys)
    assert not place.parent.exists()


async def ended(settings: Settings) -> None:
    """A machine in the journal that ended four days ago and was noted with $5."""
    journal = Journal(Path(settings.journal))
    owner = owner_of(settings.api_key)
    given: Json = {"kind": "gpu_instance", "tool": "create_gpu_instance", "model": "4090", "title": "fox"}
    job = await journal.begin(owner=owner, cost=Cost(Decimal(5)), facts=GpuFacts(resource="past4090instance"), **given)
    await journal.finish(job.key, JobState.SUCCEEDED, facts=GpuFacts(ended=journal.wall() - 4 * 86_400))
    await journal.close()


async def test_what_ended_is_corrected_by_the_bill(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    await ended(settings)
    said = await told(settings, capsys)
    assert "Just corrected by Novita's bill: 1 machine, from $5.00 to $" in said
    assert "Just corrected" not in await told(settings, capsys)


async def test_a_bill_that_cannot_be_had_is_one_line_on_stderr(
    settings: Settings, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    await ended(settings)
    world.trouble({"status": 400}, operation="query_usage_based_billing", times=-1)
    import anyio.to_thread

    assert await anyio.to_thread.run_sync(lambda: run_spend(settings, "today", by="day", as_json=True)) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["total"]["usd"] == "5.00"
    assert shown.err.startswith("novita-mcp: not corrected by Novita's bill: ")
    assert shown.err.count("\n") == 1


async def test_sandboxes_that_run_and_that_are_paused_are_shown_with_what_they_cost(
    settings: Settings, connect: Connect, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ours: what goes on costing stands below the sums."""
    chosen = replace(settings, toolsets="sandbox")
    async with connect(toolsets="sandbox") as client:
        ids = [await _sandbox(client, label) for label in ("runs", "rests")]
        await client.call_tool("change_sandbox", {"sandbox_id": ids[1], "action": "pause"})

    said = await told(chosen, capsys)
    plain: Json = json.loads(await told(chosen, capsys, as_json=True))

    assert "Going on now, about $0.0821 per hour:" in said
    assert f"{ids[0]}: It ends by itself at " in said
    assert f"{ids[1]}: It is paused: its disk counts as storage: free up to 60 GB" in said
    lines = {line["name"]: line for line in plain["running"]}
    assert {name: line["id"] for name, line in lines.items()} == {"runs": ids[0], "rests": ids[1]}
    assert lines["runs"]["usd_per_hour"] == "0.08208"
    assert "usd_per_hour" not in lines["rests"] and Decimal(lines["rests"]["cost_so_far_usd"]) < Decimal("0.01")


async def test_what_cannot_be_looked_at_is_shown_as_it_was_last_seen(
    settings: Settings, connect: Connect, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    async with connect(toolsets="sandbox") as client:
        id = await _sandbox(client, "mine")
    world.trouble({"status": 400}, method="GET", path="/v2/sandboxes", times=-1)
    import anyio.to_thread

    chosen = replace(settings, toolsets="sandbox")
    assert await anyio.to_thread.run_sync(lambda: run_spend(chosen, "today", by="day", as_json=False)) == 0
    shown = capsys.readouterr()
    assert id in shown.out
    assert shown.err.startswith("novita-mcp: the state of sandboxes could not be read: ")


async def _sandbox(client: Client, label: str) -> str:
    made = await client.call_tool("create_sandbox", {"label": label})
    return fields_of(made)["sandbox_id"]


@pytest.mark.parametrize(
    ("period", "by", "changes", "says"),
    [
        ("whenever", "day", {}, "is no period"),
        ("today", "colour", {}, "--by takes day, tool, model"),
        ("today", "day", {"journal": "off"}, "the journal is off"),
    ],
)
def test_what_cannot_be_shown_says_why(period: str, by: str, changes: Json, says: str) -> None:
    with pytest.raises(SettingError, match=says):
        run_spend(replace(Settings(), **changes), period, by=by, as_json=False)


def test_a_journal_that_is_none_is_told_not_thrown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "journal.sqlite3"
    place.write_text("these are no rows")
    assert main(["spend", "today", "--journal", str(place)]) == 1
    assert "cannot be used" in capsys.readouterr().err
