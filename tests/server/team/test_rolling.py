"""Two versions on one database: the older copy goes on working after the newer one has changed the tables."""

import io
import subprocess
import tarfile
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from novita_mcp.novita.core.costs import Caps, Cost
from novita_mcp.novita.core.errors import JournalError, SpendRefusedError
from novita_mcp.novita.journal.journal import Journal
from novita_mcp.novita.journal.rows import JobState
from novita_mcp.novita.journal.schema import MIGRATIONS
from novita_mcp.novita.journal.team.allowances import take_allowance
from novita_mcp.novita.journal.team.audit import AuditLog, read_audit
from novita_mcp.simulator.core.world import DEFAULT_KEY, World
from novita_mcp.simulator.core.world import WorldSettings as WorldSettings
from novita_mcp.simulator.serving import serve

from ...postgres import Postgres
from ..callers import result_of
from ..children import environment
from .team import HANDLE_KEY, Copy, free_ports

ROOT = Path(__file__).parents[3]
WISH = {"model": "qwen-image-txt2img"}
ME = "0123456789abcdef"
TOMORROW = """
    ALTER TABLE jobs ADD COLUMN tomorrow TEXT NOT NULL DEFAULT 'x';
    ALTER TABLE audit ADD COLUMN tomorrow TEXT;
    CREATE TABLE tomorrow (at REAL NOT NULL);
"""
"""A step as a later version may bring it: it adds, and takes nothing away."""


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    if request.param == "sqlite":
        return {"path": tmp_path / "journal.sqlite3"}
    postgres: Postgres = request.getfixturevalue("postgres")
    return {"path": None, "url": postgres.new()}


def of_tomorrow(where: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Journal:
    """A copy of a later version."""
    with monkeypatch.context() as patched:
        patched.setattr("novita_mcp.novita.journal.journal.MIGRATIONS", (*MIGRATIONS, TOMORROW))
        return Journal(**where)


async def work(journal: Journal, title: str) -> Decimal:
    """What a copy does for a call; what its caller has spent then."""
    job = await journal.begin(
        owner=ME,
        kind="media",
        tool="t",
        model="m",
        title=title,
        cost=Cost(usd=Decimal(1)),
        caps=Caps(per_day=Decimal(9)),
    )
    await journal.accepted(job.key, f"task {title}")
    done = await journal.finish(job.key, JobState.SUCCEEDED)
    assert done.state is JobState.SUCCEEDED
    log = AuditLog(9)
    log.note(journal, owner=ME, tool="t", outcome="ok", seconds=0.1, begun=[job.key])
    await log.write(journal)
    return await journal.spent(ME)


async def test_an_older_copy_goes_on_and_both_see_the_same(
    where: dict[str, Any], monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    old, new = Journal(**where), of_tomorrow(where, monkeypatch)
    assert await work(old, "before") == 1
    assert await work(new, "new") == 2
    assert await work(old, "after") == 3
    if old.shared:
        request.getfixturevalue("postgres").hang_up()  # as when the database is started again in the middle of it
        assert await take_allowance(old, "calls of me", 1) == 0
        assert await take_allowance(new, "calls of me", 1) > 0
    assert await work(old, "once more") == 4
    for journal in (old, new):
        titles = [job.title for job in await journal.recent(ME, limit=9)]
        assert titles == ["once more", "after", "new", "before"]
        assert [entry.model for entry in await read_audit(journal, limit=9)] == ["m"] * 4
        with pytest.raises(SpendRefusedError):
            await journal.begin(
                owner=ME,
                kind="media",
                tool="t",
                model="m",
                title="too much",
                cost=Cost(usd=Decimal(6)),
                caps=Caps(per_day=Decimal(9)),
            )
    # Whoever begins anew with the older version is told why it cannot.
    late = Journal(**where)
    with pytest.raises(JournalError, match="newer novita-mcp"):
        await late.spent(ME)
    for journal in (old, new, late):
        await journal.close()


# The version that was released before


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code of version 0.1.0, from the repository's history, as a folder to import from."""
    try:
        packed = subprocess.run(
            ["git", "-C", ROOT, "archive", "v0.1.0", "server", "tools", "novita", "simulator"],
            check=True,
            capture_output=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no history with the tag v0.1.0 here")
    site = tmp_path_factory.mktemp("released")
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(site / "novita_mcp", filter="data")
    return site


@pytest.mark.slow
def test_a_running_copy_of_0_1_0_goes_on_beside_one_of_today(
    released: Path, postgres: Postgres, tmp_path: Path
) -> None:
    world = World(WorldSettings(task_seconds=0.2, old_models=True))
    journal = postgres.new()
    with serve(world) as simulator, ExitStack() as stack:
        env = environment(tmp_path, simulator.url, NOVITA_MCP_HANDLE_KEYS=HANDLE_KEY, NOVITA_MCP_JOURNAL=journal)
        old_port, new_port = free_ports(2)
        known = {name: value for name, value in env.items() if name != "NOVITA_MCP_SHIPPED_MODELS_ONLY"}
        old = Copy(tmp_path, old_port, {**known, "PYTHONPATH": str(released)})
        new = Copy(tmp_path, new_port, env)
        for copy in (old, new):
            stack.callback(copy.stop)
        old.start()
        old.wait_until_ready()
        made = [ask(old.url, "generate_image", WISH | {"prompt": "before"})]  # its tables are there now
        new.start()
        new.wait_until_ready()
        made.append(ask(new.url, "generate_image", WISH | {"prompt": "new"}))
        made.append(ask(old.url, "generate_image", WISH | {"prompt": "after"}))
        made.append(ask(new.url, "generate_image", WISH | {"prompt": "last"}))
        paid = sorted(one["task_id"] for one in made)
        for copy in (old, new):
            listed = ask(copy.url, "list_tasks", {"limit": 20})["tasks"]
            assert sorted(task["task_id"] for task in listed) == paid
            for task_id in paid:  # whoever made it, either brings it home
                assert ask(copy.url, "get_task", {"task_id": task_id})["status"] == "succeeded"
        assert len(world.charges) == 4
        assert "Traceback" not in old.log + new.log


def ask(url: str, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
    answer = httpx.post(
        f"{url}/mcp",
        json=message,
        headers={
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": "2025-11-25",
            "Authorization": f"Bearer {DEFAULT_KEY}",
        },
        timeout=60,
    )
    result = result_of(answer)
    assert result is not None, answer.text
    assert not result.get("isError"), result
    return result["structuredContent"]
