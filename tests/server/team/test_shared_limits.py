"""Limits hold over all copies together where these share a journal in PostgreSQL."""

from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import anyio
import httpx
import pytest
from novita_mcp.novita.journal.journal import Journal
from novita_mcp.novita.journal.team.allowances import forget_full, take_allowance
from novita_mcp.server.http import http_app, web_server
from novita_mcp.server.rate_limit import SharedRateLimit
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import DEFAULT_KEY, World

from ...conftest import text_of
from ...postgres import Postgres
from ...serving import serve_asgi
from ..callers import caller

OTHER_KEY = "sk-somebody-else"
HEAD = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-11-25"}


@pytest.fixture
def served(settings: Settings, postgres: Postgres) -> Generator[Any]:
    """Serves two copies on one database with changed settings until the test ends; their URLs."""
    with ExitStack() as stack:

        def open_copies(**changes: Any) -> list[str]:
            shared = replace(settings, journal=postgres.new(), **changes)
            apps = [http_app(web_server(shared), shared) for _ in range(2)]
            return [stack.enter_context(serve_asgi(app)) for app in apps]

        yield open_copies


async def test_calls_of_one_caller_count_over_both_copies_and_anothers_do_not(served: Any, world: World) -> None:
    world.add_account(OTHER_KEY)
    one, two = served(rate_limit=3)
    async with caller(one) as first, caller(two) as second, caller(two, OTHER_KEY) as other:
        answers = [await client.call_tool("get_balance", {}) for client in (first, second, first, second, first)]
        others = [await other.call_tool("get_balance", {}) for _ in range(3)]

    assert [answer.is_error for answer in answers] == [False, False, False, True, True]
    assert "takes 3 a minute from one caller" in text_of(answers[3])
    assert not any(answer.is_error for answer in others)


async def test_requests_of_any_kind_count_over_both_copies(served: Any) -> None:
    urls = served(rate_limit=1)
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    head = {**HEAD, "Authorization": f"Bearer {DEFAULT_KEY}"}
    statuses: list[int] = []
    async with httpx.AsyncClient(timeout=60) as http, anyio.create_task_group() as group:

        async def send(url: str) -> None:
            statuses.append((await http.post(f"{url}/mcp", json=ping, headers=head)).status_code)

        for number in range(16):
            group.start_soon(send, urls[number % 2])
    # One more where a request came after the six seconds in which one refills.
    assert 10 <= statuses.count(200) <= 11
    assert statuses.count(200) + statuses.count(429) == 16


async def test_of_a_rush_at_many_connections_exactly_the_allowed_pass(postgres: Postgres) -> None:
    """One a minute: nothing refills while the test runs."""
    url = postgres.new()
    journals = [Journal(None, url=url) for _ in range(3)]
    waits: list[float] = []

    async def come(journal: Journal, name: str) -> None:
        waits.append(await take_allowance(journal, name, 1))

    for journal in journals:  # not what is measured
        await journal.spent("nobody")
    async with anyio.create_task_group() as group:
        for number in range(48):
            group.start_soon(come, journals[number % 3], f"calls of {number % 4}")
    assert sum(wait == 0 for wait in waits) == 4
    assert all(0 < wait <= 60 for wait in waits if wait)
    # Whoever has everything again needs no row.
    await journals[0].transact(lambda db: db.execute("UPDATE allowances SET due = 0 WHERE name = 'calls of 1'").close())
    await forget_full(journals[0])
    assert await journals[0].transact(lambda db: db.execute("SELECT COUNT(*) FROM allowances").fetchone()[0]) == 3
    for journal in journals:
        await journal.close()


async def test_a_minutes_worth_is_there_at_once_whatever_the_rate(postgres: Postgres) -> None:
    journal = Journal(None, url=postgres.new())
    for per_minute in (1, 7, 59):
        waits = [await take_allowance(journal, f"{per_minute}", per_minute) for _ in range(per_minute)]
        assert not any(waits), per_minute
    assert await take_allowance(journal, "1", 1) == pytest.approx(60, abs=50)
    await journal.close()


async def test_while_the_database_is_away_each_copy_counts_for_itself(postgres: Postgres) -> None:
    gone = Journal(None, url="postgresql://nobody@127.0.0.1:1/none")
    limit = SharedRateLimit("calls", 2, lambda: gone, now=lambda: 0.0)

    assert [await limit.take("me") for _ in range(3)] == [0, 0, 30]
    assert await limit.take("another") == 0
    await gone.close()


async def test_who_was_refused_is_not_looked_up_again_before_its_time(postgres: Postgres) -> None:
    now = 0.0
    url = postgres.new()
    journal = Journal(None, url=url)
    limit = SharedRateLimit("calls", 1, lambda: journal, now=lambda: now)
    assert await limit.take("me") == 0
    assert 50 < await limit.take("me") <= 60
    await journal.transact(lambda db: db.execute("DELETE FROM allowances").close())
    assert 50 < await limit.take("me") <= 60  # from memory alone
    now = 61.0
    assert await limit.take("me") == 0
    await journal.close()
