"""The queue before what Novita takes in a minute: exact, by turns, and out of the way while there is no limit."""

from dataclasses import dataclass, replace

import anyio
import pytest
from novita_mcp.novita.core.waiting import telling_of_waiting
from novita_mcp.novita.journal.journal import Journal
from novita_mcp.novita.journal.team import turns as turns_module
from novita_mcp.novita.journal.team.turns import FairTurns, TurnTooFarError

from ..conftest import FakeClock

LANE = "0123456789abcdef some-model"


@dataclass
class SharedTime:
    """A clock for many who wait: each nap moves the time, and the others go on meanwhile.

    Args:
        begun: No nap ends before it is set. A test that wants everybody in the queue first needs it, since naps take
            no real time: a minute of this clock may pass before the next caller has drawn a number.
    """

    under: FakeClock
    begun: anyio.Event | None = None

    def now(self) -> float:
        return self.under.now()

    def wall(self) -> float:
        return self.under.wall()

    async def sleep(self, seconds: float) -> None:
        if self.begun:
            await self.begun.wait()
        await self.under.sleep(min(seconds, 1.0))
        await anyio.lowlevel.checkpoint()


async def test_without_a_limit_nobody_waits_and_the_journal_is_not_asked(journal: Journal, clock: FakeClock) -> None:
    turns = FairTurns(journal, clock)
    await journal.close()
    for _ in range(100):
        await turns.wait(LANE, "me")
    assert clock.naps == []


async def test_in_no_minute_goes_more_than_the_limit(
    journal: Journal, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns_module, "LONGEST_WAIT", 1e9)
    copies = [FairTurns(journal, SharedTime(clock), 3) for _ in range(2)]
    sent: list[float] = []
    for number in range(10):
        await copies[number % 2].wait(LANE, "me")
        sent.append(clock.wall())
        await clock.sleep(7)
    for at in sent:
        assert sum(at <= other < at + 60 for other in sent) <= 3
    assert sent[-1] - sent[0] < 4 * 60, "no slower than the limit"


async def test_lanes_do_not_wait_for_each_other(journal: Journal, clock: FakeClock) -> None:
    turns = FairTurns(journal, clock, 1)
    await turns.wait(LANE, "me")
    await turns.wait(f"{LANE} 2", "me")
    assert clock.naps == []


async def test_callers_go_by_turns_however_many_one_of_them_has(
    journal: Journal, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns_module, "LONGEST_WAIT", 1e9)
    monkeypatch.setattr(turns_module, "ALIVE", 1e9)  # by a clock that each of them moves
    everybody_waits = anyio.Event()
    turns = FairTurns(journal, SharedTime(clock, everybody_waits), 1)
    await turns.wait(LANE, "earlier")
    order: list[str] = []

    async def send(owner: str) -> None:
        await turns.wait(LANE, owner)
        order.append(owner)

    async def drawn(count: int) -> None:
        asked = "SELECT COUNT(*) FROM turns"
        while await journal.transact(lambda db: db.execute(asked).fetchone()[0]) < count:
            await anyio.sleep(0.01)
        clock.time += 1  # who comes later has a later time, too

    with anyio.fail_after(120):
        async with anyio.create_task_group() as group:
            for number in range(4):
                group.start_soon(send, "greedy")
                await drawn(number + 1)
            group.start_soon(send, "one")
            await drawn(5)
            group.start_soon(send, "another")
            await drawn(6)
            everybody_waits.set()
    assert order[:3] == ["greedy", "one", "another"]
    assert order[3:] == ["greedy"] * 3


async def test_after_a_refusal_all_wait_as_long_as_novita_says_and_are_told(journal: Journal, clock: FakeClock) -> None:
    turns, told = FairTurns(journal, clock), list[str]()

    async def tell(line: str) -> None:
        told.append(line)

    await turns.refused(LANE, 20)
    with telling_of_waiting(tell):
        await turns.wait(LANE, "me")
    assert sum(clock.naps) == pytest.approx(20, abs=1)
    assert told[0] == "waiting for Novita's limit, about 20 s"
    assert told[1:] == [f"waiting for Novita's limit, about {left} s" for left in (15, 10, 5)]
    # Another process that is turned away joins the same queue; one that is not, goes on.
    await FairTurns(journal, clock).wait(LANE, "another")
    clock.time += 200
    clock.naps.clear()
    await turns.wait(LANE, "me")
    assert clock.naps == []


async def test_who_would_wait_too_long_is_told_when_to_come_and_gives_the_place_back(
    journal: Journal, clock: FakeClock
) -> None:
    turns = FairTurns(journal, clock)
    await turns.refused(LANE, 600)
    with pytest.raises(TurnTooFarError, match="about 600 seconds") as caught:
        await turns.wait(LANE, "me")
    assert caught.value.billed == "no"
    assert clock.naps == []
    assert await journal.transact(lambda db: db.execute("SELECT COUNT(*) FROM turns").fetchone()[0]) == 0


async def test_the_place_of_a_process_that_died_is_passed_over(journal: Journal, clock: FakeClock) -> None:
    turns = FairTurns(journal, clock, 60)
    await journal.transact(
        lambda db: db.execute(
            "INSERT INTO turns (number, lane, owner, turn, drawn, alive) VALUES ('dead', ?, 'x', 0, ?, ?)",
            (LANE, clock.wall() - 5, clock.wall() - 5),
        ).close()
    )
    await turns.wait(LANE, "me")
    assert 5 <= sum(clock.naps) <= 8


async def test_who_leaves_gives_the_place_back(journal: Journal, clock: FakeClock) -> None:
    turns = FairTurns(journal, replace(clock), 0)
    await turns.refused(LANE, 100)

    async def tell(_: str) -> None:
        group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        with telling_of_waiting(tell):
            group.start_soon(turns.wait, LANE, "me")
    assert await journal.transact(lambda db: db.execute("SELECT COUNT(*) FROM turns").fetchone()[0]) == 0
