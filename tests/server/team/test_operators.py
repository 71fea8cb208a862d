"""Whoever runs a server for many sees who called what, what it cost and how it ended; callers see nothing of it."""

import base64
import hashlib
import json
import re
from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from novita_mcp.novita.core.client import owner_of
from novita_mcp.novita.core.costs import Cost
from novita_mcp.novita.journal.journal import Journal
from novita_mcp.novita.journal.rows import JobState
from novita_mcp.novita.journal.team.audit import AuditLog, read_audit
from novita_mcp.novita.journal.team.begun import watch_begun
from novita_mcp.novita.journal.team.overview import team_overview
from novita_mcp.server.http import http_app, web_server
from novita_mcp.server.settings import SettingError, Settings, read_settings
from novita_mcp.simulator.core.world import DEFAULT_KEY, World

from ...conftest import text_of
from ...serving import serve_asgi
from ..callers import caller

TOKEN = "an operator's secret of forty characters"
ME, OTHER = owner_of(DEFAULT_KEY), owner_of("sk-somebody-else")
WISH = {"model": "qwen-image-txt2img", "prompt": "my secret fox"}

pytestmark = pytest.mark.old_models


@pytest.fixture
def served(settings: Settings, tmp_path: Path) -> Generator[Any]:
    """Serves changed settings until the test ends; the URL."""
    with ExitStack() as stack:

        def open_server(**changes: Any) -> str:
            mine = replace(settings, journal=str(tmp_path / "team.sqlite3"), operator_token=TOKEN, **changes)
            return stack.enter_context(serve_asgi(http_app(web_server(mine), mine)))

        yield open_server


def asked(url: str, path: str, token: str = TOKEN) -> httpx.Response:
    return httpx.get(url + path, headers={"Authorization": f"Bearer {token}"})


def entries(url: str, query: str = "") -> list[dict[str, Any]]:
    return asked(url, f"/operator/audit.json{query}").json()["entries"]


async def counted(tmp_path: Path, owner: str) -> Decimal:
    """What a caller's newest job counts under the limits."""
    journal = Journal(tmp_path / "team.sqlite3")
    (job, *_) = await journal.recent(owner, limit=1)
    await journal.close()
    return job.counted


async def test_every_call_is_in_the_log_with_who_what_cost_and_outcome_and_without_its_prompt(
    served: Any, world: World, era: str, tmp_path: Path
) -> None:
    world.add_account("sk-somebody-else")
    url = served()
    async with caller(url, mode=era) as client, caller(url, "sk-somebody-else", mode=era) as other:
        made = await client.call_tool("generate_image", WISH)
        await other.call_tool("get_task", {"task_id": "no-such-task"})
        await client.call_tool("get_balance", {})
        await client.call_tool("generate_image", {"nonsense": 1})
    assert not made.is_error, text_of(made)
    found = entries(url)

    seen = [(one["owner"], one["tool"], one["model"], one["outcome"]) for one in reversed(found)]
    assert seen == [
        (ME, "generate_image", "qwen-image-txt2img", "ok"),
        (OTHER, "get_task", "", "error"),
        (ME, "get_balance", "", "ok"),
        (ME, "generate_image", "", "error"),
    ]
    costs = [Decimal(one["usd"]) for one in reversed(found)]
    assert costs == [await counted(tmp_path, ME), 0, 0, 0]
    assert costs[0] > 0
    assert all(one["seconds"] >= 0 and one["arguments"] is None for one in found)
    assert "secret fox" not in json.dumps(found)
    assert DEFAULT_KEY not in json.dumps(found)


async def test_the_log_is_read_by_pages_and_by_caller(served: Any) -> None:
    url = served()
    async with caller(url) as client:
        for _ in range(3):
            await client.call_tool("get_balance", {})
    first = entries(url, "?limit=2")
    rest = entries(url, f"?limit=2&before={first[-1]['number']}")

    assert (len(first), len(rest)) == (2, 1)
    assert first[0]["number"] > first[1]["number"] > rest[0]["number"]
    assert entries(url, f"?owner={OTHER}") == []
    assert len(entries(url, f"?owner={ME}&outcome=ok")) == 3
    assert asked(url, "/operator/audit.json?limit=many").status_code == 400


async def test_arguments_are_kept_only_where_that_is_wanted_and_never_a_key(served: Any) -> None:
    url = served(audit_arguments=True)
    async with caller(url) as client:
        await client.call_tool("generate_image", {**WISH, "prompt": f"a fox, {DEFAULT_KEY}"})
    (entry,) = entries(url)
    assert "a fox" in entry["arguments"]
    assert DEFAULT_KEY not in json.dumps(entry)


async def test_without_days_nothing_is_kept(served: Any) -> None:
    url = served(audit_days=0)
    async with caller(url) as client:
        await client.call_tool("get_balance", {})
    assert entries(url) == []


async def test_what_is_too_old_is_deleted_and_a_caller_that_left_is_noted(tmp_path: Path) -> None:
    journal, log = Journal(tmp_path / "journal.sqlite3"), AuditLog(30)

    async def note(tool: str, log: AuditLog) -> None:
        log.note(journal, owner=ME, tool=tool, outcome="ok", seconds=0.1, begun=())
        await log.write(journal)

    await note("old", log)
    await journal.transact(lambda db: db.execute("UPDATE audit SET at = at - 31 * 86400").close())
    await note("new", AuditLog(30))  # another copy, which has not looked yet
    assert [entry.tool for entry in await read_audit(journal, limit=9)] == ["new"]
    await journal.close()


async def test_what_is_gathered_is_written_when_the_server_ends(tmp_path: Path) -> None:
    journal, log = Journal(tmp_path / "journal.sqlite3"), AuditLog(30)

    def end(tool: str) -> None:
        log.note(journal, owner=ME, tool=tool, outcome="ok", seconds=0.1, begun=())
        log.write_soon(journal, background.start_soon)

    async with anyio.create_task_group() as background:
        end("first")
        end("second")
        background.cancel_scope.cancel()
    assert [entry.tool for entry in await read_audit(journal, limit=9)] == ["second", "first"]
    await journal.close()


async def test_the_overview_tells_running_spending_and_errors_over_all_callers(
    served: Any, world: World, tmp_path: Path
) -> None:
    world.add_account("sk-somebody-else")
    url = served()
    async with caller(url) as client, caller(url, "sk-somebody-else") as other:
        await client.call_tool("generate_image", WISH)
        world.never_end_next_task()
        await other.call_tool("generate_image", {**WISH, "wait_seconds": 0})
        await other.call_tool("get_task", {"task_id": "no-such-task"})
    told = asked(url, "/operator/overview.json")
    seen = told.json()

    assert [(job["owner"], job["tool"], job["state"]) for job in seen["running"]] == [
        (OTHER, "generate_image", "working")
    ]
    assert {each["owner"]: each["jobs"] for each in seen["spending"]} == {ME: 1, OTHER: 1}
    paid = await counted(tmp_path, ME)
    assert all(Decimal(each["today"]) == Decimal(each["month"]) == paid for each in seen["spending"])
    assert {each["tool"]: (each["calls"], each["errors"]) for each in seen["tools"]} == {
        "generate_image": (2, 0),
        "get_task": (1, 1),
    }
    assert "secret fox" not in told.text

    shown = asked(url, "/operator")
    assert shown.headers["Content-Type"].startswith("text/html")
    assert OTHER in shown.text
    assert "secret fox" not in shown.text
    (style,) = re.findall(r"<style>(.*?)</style>", shown.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in shown.headers["Content-Security-Policy"]
    assert "default-src 'none'" in shown.headers["Content-Security-Policy"]
    assert shown.headers["X-Frame-Options"] == "DENY"
    assert shown.headers["Cache-Control"] == "no-store"


async def test_what_a_caller_writes_is_no_markup_on_the_page(tmp_path: Path, served: Any) -> None:
    url = served()
    journal = Journal(tmp_path / "team.sqlite3")
    cost = Cost(usd=Decimal("0.5"))
    await journal.begin(owner=ME, kind="media", tool="<b>t</b>", model="<script>m</script>", title="x", cost=cost)
    shown = asked(url, "/operator").text
    assert "<script>" not in shown
    assert "&lt;script&gt;m&lt;/script&gt;" in shown
    await journal.close()


@pytest.mark.parametrize("path", ["/operator", "/operator/overview.json", "/operator/audit.json"])
def test_nobody_without_the_secret_reads_any_of_it(served: Any, path: str) -> None:
    url = served()

    def status(authorization: str | None) -> int:
        return httpx.get(url + path, headers={"Authorization": authorization} if authorization else {}).status_code

    def basic(user: str, password: str) -> str:
        return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"

    refused = (None, f"Bearer {DEFAULT_KEY}", "Bearer", f"Bearer {TOKEN[:-1]}", basic("me", "guess"), "Basic ?!")
    assert [status(each) for each in refused] == [401] * len(refused)
    assert status(f"Bearer {TOKEN}") == status(basic("anybody", TOKEN)) == 200
    assert httpx.post(url + path, headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 405
    told = httpx.get(url + path)
    assert told.headers["WWW-Authenticate"].startswith("Basic")


def test_without_a_secret_there_is_no_such_page(settings: Settings) -> None:
    with serve_asgi(http_app(web_server(settings), settings)) as url:
        assert httpx.get(f"{url}/operator", headers={"Authorization": "Bearer"}).status_code == 404
    with pytest.raises(SettingError, match="NOVITA_MCP_OPERATOR_TOKEN"):
        read_settings({"NOVITA_MCP_OPERATOR_TOKEN": "short"})
    assert TOKEN not in repr(replace(settings, operator_token=TOKEN))


async def test_what_is_begun_within_a_call_is_its_own_and_nobody_elses(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite3")
    noted: dict[str, list[str]] = {}

    async def call(name: str) -> None:
        with watch_begun() as begun:
            async with anyio.create_task_group() as group:  # as tools do that send many files
                for number in range(2):
                    group.start_soon(begin, f"{name} {number}")
        noted[name] = [(await journal.row(key) or pytest.fail()).title for key in begun]

    async def begin(title: str) -> None:
        await journal.begin(owner=ME, kind="media", tool="t", model="m", title=title, cost=Cost(usd=Decimal(1)))

    async with anyio.create_task_group() as group:
        group.start_soon(call, "one")
        group.start_soon(call, "two")
    assert {name: sorted(titles) for name, titles in noted.items()} == {
        "one": ["one 0", "one 1"],
        "two": ["two 0", "two 1"],
    }
    assert [job.state for job in (await team_overview(journal)).running] == [JobState.SUBMITTING] * 4
    await journal.close()
