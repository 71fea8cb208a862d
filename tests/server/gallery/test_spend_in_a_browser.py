"""Money and machines in a real browser, in the official bridge's host, against the real server and the simulator."""

import re
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from novita_mcp.server.gallery.loopback import LOOKS, STOPS
from novita_mcp.server.gallery.pages import MIME, SPEND
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.account.ledger import lines, units
from novita_mcp.simulator.core.world import DEFAULT_KEY, World
from novita_mcp.simulator.gpu.state import GpuState

from .browser import MARKS, in_a_browser

pytestmark = MARKS


TERM = 90_000_000
"""A machine by the month that the simulator's past has: paid on the first of each, in millionths of a dollar."""


def billed(world: World, label: str) -> dict[str, int]:
    """Millionths of a dollar by day that the simulator has from before this world began, in the days a chart names."""
    first, last = (date.fromisoformat(day) for day in re.findall(r"\d{4}-\d\d-\d\d", label)[:2])
    sums: Counter[date] = Counter()
    for line in lines(world, world.accounts[DEFAULT_KEY]):
        sums[datetime.fromtimestamp(line.at, UTC).date()] += units(line.micro_usd) * 100
    days = [first + timedelta(days=after) for after in range((last - first).days + 1)]
    sums.update({day: TERM for day in days if day.day == 1})
    return {f"{day}": sums[day] for day in days if sums[day] and day < began(world)}


def began(world: World) -> date:
    """The day this world began."""
    return datetime.fromtimestamp(world.started, UTC).date()


def test_the_chart_is_true_and_a_stop_asks_first(settings: Settings, world: World, tmp_path: Path) -> None:
    world.set(task_seconds=100)
    seen = in_a_browser("spend.mjs", settings, world, tmp_path)
    hostile = '<img src=x onerror="window.pwned=1">&lt;b&gt;<script>window.pwned=1</script>'
    today = f"{began(world)}"

    assert seen["page"] == {"uri": SPEND, "mimeType": MIME} and seen["errors"] == []
    # True numbers, drawn and said.
    week, month = seen["week"], seen["month"]
    past = billed(world, week["label"])
    assert len(past) >= 5 and {day: sum for day, sum in week["days"].items() if day < today} == past
    assert week["measured"].keys() == week["days"].keys()
    for day, (high, due) in week["measured"].items():
        assert high == pytest.approx(due, rel=0.02), day
    assert sum(week["days"].values()) == round(float(week["spent"].removeprefix("$")) * 1_000_000)
    assert week["spent"] in week["label"]
    models = {name: round(float(amount.removeprefix("$")) * 1_000_000) for name, amount in seen["models"]}
    assert sum(models.values()) == sum(week["days"].values()) and "network storage" in models
    assert len(month["days"]) > 27 and month["days"] == billed(world, month["label"])
    # What runs, by the hour, with its lease.
    leased, open_ended = sorted(seen["lines"], key=lambda line: "No lease" in line)
    assert "fox-den" in leased and "Its lease ends it" in leased and "about $0.21 per hour" in leased
    assert "left-alone" in open_ended and "No lease: it costs until somebody stops it." in open_ended
    assert seen["hourly"] == "About $0.42 per hour"
    assert seen["money"].startswith("Balance left: $")
    # The tool's own question; a yes is sent by a click on yes, and by nothing else.
    assert seen["question"].startswith("Stop instance 'fox-den' (")
    assert seen["question"].endswith("). What runs on it ends.")
    assert seen["focus"] == "No, leave it" and seen["left"] == "It was left as it is."
    assert seen["beforeYes"] == seen["afterNo"] == []
    (yes,) = seen["afterYes"]
    assert (yes["name"], yes["arguments"]["confirm"]) == ("stop_gpu_instance", True)
    assert seen["said"].startswith("fox-den: ")
    assert dict(seen["machines"])["fox-den"] == "exited" and dict(seen["machines"])["left-alone"] == "running"
    assert "left-alone" in seen["everything"] and "call stop_everything" not in seen["everything"]
    world.area(GpuState).settle()
    machines = world.area(GpuState).fleet.of(world.accounts[DEFAULT_KEY])
    assert [each.status for each in machines] == ["exited", "exited"]
    assert {*seen["names"]} <= {*LOOKS, *STOPS}
    # So do other kinds of things that cost.
    assert seen["balance"].startswith("Balance left: $")
    assert "web" in seen["endpoint"] and "confirm=true" not in seen["endpoint"]
    assert seen["sandbox"].startswith("Delete sandbox ") and seen["sandbox"].endswith("with all files in it.")
    assert seen["stops"] == ["stop_gpu_instance", "stop_everything", "update_endpoint", "delete_sandbox"]
    # By month where the bill is.
    assert all(re.fullmatch(r"\d{4}-\d\d", month) for month in seen["monthly"]["days"])
    assert sum(seen["monthly"]["days"].values()) == round(float(seen["monthly"]["spent"][1:]) * 1_000_000)
    # What others wrote is text; nothing is fetched; for everybody, at every width.
    assert seen["hostile"] == {"pwned": None, "images": 0, "scripts": 1}
    assert seen["besides"] == "About $2.50 per hour, besides 2 more machines that are not shown"
    assert seen["problem"] == f"It failed: {hostile}"
    assert seen["fetched"] == "refused"
    assert seen["axe"] == {"light": [], "question": [], "dark": []}
    assert set(seen["overflow"].values()) == {0}
