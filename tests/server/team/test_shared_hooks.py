"""Novita may call any copy when a task ends: all that share a journal in PostgreSQL know the address."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

import anyio
from anyio.abc import TaskGroup
from novita_mcp.novita.core.client import NovitaClient, new_http
from novita_mcp.novita.journal.journal import Journal
from novita_mcp.novita.journal.team.hooks import CalledTask, call_hook, knows_hook, share_hook, take_called
from novita_mcp.novita.media.jobs import MediaJobs
from novita_mcp.novita.media.webhooks import MOST_CALLS, Webhooks

from ...postgres import Postgres

TOKEN = "x" * 43
PATIENCE = 60.0


class Hearer:
    """As much of a copy's media jobs as an address needs. Tells what was looked at, and by whom."""

    def __init__(self, waiting: bool = False) -> None:
        self.waiting = waiting
        self.nudged = anyio.Event()
        self.looked = anyio.Event()
        self.looks: list[str] = []

    def nudge(self, owner: str, task_id: str) -> bool:
        if self.waiting:
            self.nudged.set()
        return self.waiting

    async def bring(self, _: NovitaClient, task_id: str, *, budget: float) -> None:
        self.looks.append(task_id)
        self.looked.set()


@asynccontextmanager
async def copy(url: str, group: TaskGroup, hearer: Hearer) -> AsyncGenerator[Webhooks]:
    journal = Journal(None, url=url)
    hooks = Webhooks(cast(MediaJobs, hearer), group, "https://mcp.example", journal)
    group.start_soon(hooks.listen, url)
    yield hooks
    await journal.close()


async def listening(journal: Journal, count: int) -> None:
    """Until so many connections listen."""
    asked = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"
    while await journal.transact(lambda db: db.execute(asked).fetchone()[0]) < count:
        await anyio.sleep(0.02)


async def shared(journal: Journal) -> None:
    """Until an address is known to all."""
    while not await journal.transact(lambda db: db.execute("SELECT COUNT(*) FROM hooks").fetchone()[0]):
        await anyio.sleep(0.02)


async def test_who_waits_at_one_copy_is_woken_by_a_call_at_another(postgres: Postgres) -> None:
    url, client = postgres.new(), NovitaClient(new_http(), "sk-1")
    sender, waiter, other = Hearer(), Hearer(waiting=True), Hearer()
    journal = Journal(None, url=url)
    with anyio.fail_after(PATIENCE):
        async with (
            anyio.create_task_group() as group,
            copy(url, group, sender) as one,
            copy(url, group, waiter),
            copy(url, group, other) as three,
        ):
            await listening(journal, 3)
            token, _ = one.open(client)
            one.accepted(token, "task-1")
            await shared(journal)
            assert await three.called(token)
            await waiter.nudged.wait()
            assert not await three.called(f"{token[:-1]}{'y' if token[-1] == 'x' else 'x'}")
            assert not await three.called("../" + token)
            kept = await journal.transact(lambda db: [tuple(row) for row in db.execute("SELECT * FROM hooks")])
            assert token not in str(kept)
            group.cancel_scope.cancel()
    assert other.looks == []
    await journal.close()


async def test_where_nobody_waits_the_copy_with_the_key_looks(postgres: Postgres) -> None:
    url, client = postgres.new(), NovitaClient(new_http(), "sk-1")
    sender, other = Hearer(), Hearer()
    journal = Journal(None, url=url)
    with anyio.fail_after(PATIENCE):
        async with (
            anyio.create_task_group() as group,
            copy(url, group, sender) as one,
            copy(url, group, other) as two,
        ):
            await listening(journal, 2)
            token, _ = one.open(client)
            one.accepted(token, "task-1")
            await shared(journal)
            assert await two.called(token)
            await sender.looked.wait()
            group.cancel_scope.cancel()
    assert (sender.looks, other.looks) == (["task-1"], [])
    await journal.close()


async def test_of_many_copies_one_takes_a_called_task_and_forged_calls_tell_few(postgres: Postgres) -> None:
    url = postgres.new()
    journals = [Journal(None, url=url) for _ in range(4)]
    await share_hook(journals[0], TOKEN, "me", "task-1", called=0)
    counted = [await call_hook(journals[1], TOKEN, most=MOST_CALLS) for _ in range(MOST_CALLS + 2)]
    assert counted == [True] * MOST_CALLS + [False] * 2
    assert not await knows_hook(journals[2], TOKEN, most=MOST_CALLS)
    taken: list[Any] = []

    async def take(journal: Journal) -> None:
        taken.extend(await take_called(journal, ["me", "another"]))

    async with anyio.create_task_group() as group:
        for journal in journals:
            group.start_soon(take, journal)
    assert taken == [CalledTask("me", "task-1")]
    assert await take_called(journals[0], []) == []
    for journal in journals:
        await journal.close()
