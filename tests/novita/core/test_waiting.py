"""The waiting helper: when it looks, what it survives, how it shows that it lives, and how it ends."""

import statistics
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Sequence

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from novita_mcp.novita.core.errors import (
    AuthenticationError,
    NotFoundError,
    NovitaAPIError,
    NovitaConnectionError,
    NovitaError,
    NovitaServerError,
    RateLimitError,
)
from novita_mcp.novita.core.waiting import Look, Pace, Phase, Progress, alongside, wait_until_done

from ...virtual_time import LoopClock, run
from ..conftest import FakeClock

WORKING = Look(Phase.WORKING, "not yet", note="processing")
DONE = Look(Phase.SUCCEEDED, "a fox")
Step = Look[str] | NovitaError


def script(*steps: Step) -> Callable[[], Awaitable[Look[str]]]:
    """A look that goes through the steps; the last one again and again."""
    left = list(steps)

    async def look() -> Look[str]:
        step = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(step, NovitaError):
            raise step
        return step

    return look


async def looks_at(
    clock: FakeClock, length: float, pace: Pace, *, eta: bool = False, budget: float = 7200
) -> list[float]:
    """When a job of so many seconds was looked at."""
    looks: list[float] = []
    start = clock.now()

    async def look() -> Look[str]:
        looks.append(clock.now() - start)
        if looks[-1] >= length:
            return DONE
        return Look(Phase.WORKING, "", eta=length - looks[-1] if eta else None)

    await wait_until_done(look, clock=clock, pace=pace, budget=budget)
    return looks


def busiest_minute(looks: Sequence[float]) -> int:
    counted = sorted(moment for moment in looks if moment > 10)
    # How many came in the minute up to each: its place, less those that were earlier.
    return max((at + 1 - bisect_right(counted, moment - 60) for at, moment in enumerate(counted)), default=0)


# When it looks


LENGTHS = (1, 3, 8, 12, 18, 27, 40, 60, 90, 150, 300, 900, 1200)


@pytest.mark.parametrize("length", LENGTHS)
async def test_without_history_the_delay_is_a_small_share_of_the_length(length: int, clock: FakeClock) -> None:
    """Product 13: 0.4 s or 5 % in the mean, at most 30 looks a minute after the first ten seconds."""
    delays: list[float] = []
    for step in range(40):
        real = length * (0.9 + step / 200)
        looks = await looks_at(clock, real, Pace())
        delays.append(looks[-1] - real)
        assert busiest_minute(looks) <= 30
    assert statistics.fmean(delays) <= max(0.4, 0.05 * length)
    assert max(delays) <= max(0.8, 0.1 * length)


@pytest.mark.parametrize("length", LENGTHS)
async def test_with_history_looks_are_saved_for_when_the_end_is_near(length: int, clock: FakeClock) -> None:
    history = [length * (0.8 + number / 50) for number in range(20)]
    blind, knowing = 0, 0
    delays: list[float] = []
    for step in range(20):
        real = length * (0.85 + step / 100)
        looks = await looks_at(clock, real, Pace(history))
        assert busiest_minute(looks) <= 30
        knowing += len(looks)
        delays.append(looks[-1] - real)
        blind += len(await looks_at(clock, real, Pace()))
    assert knowing < blind or length <= 3
    assert statistics.fmean(delays) <= max(0.4, 0.04 * length)


@pytest.mark.parametrize("told", [20.0, 600.0])
async def test_a_history_of_other_jobs_costs_little(told: float, clock: FakeClock) -> None:
    for real in (15.0, 60.0, 240.0):
        looks = await looks_at(clock, real, Pace([told] * 10))
        assert busiest_minute(looks) <= 30
        assert looks[-1] - real <= max(1, 0.25 * real)


async def test_an_eta_saves_looks(clock: FakeClock) -> None:
    told = await looks_at(clock, 60, Pace(), eta=True)
    assert len(told) < len(await looks_at(clock, 60, Pace())) * 0.7
    assert told[-1] - 60 <= 3


async def test_percent_stand_in_for_an_eta(clock: FakeClock) -> None:
    looks: list[float] = []
    start = clock.now()

    async def look() -> Look[str]:
        looks.append(clock.now() - start)
        return DONE if looks[-1] >= 60 else Look(Phase.WORKING, "", progress=100 * looks[-1] / 60)

    await wait_until_done(look, clock=clock, pace=Pace(), budget=100)
    assert looks[-1] - 60 <= 0.5
    assert len(looks) < 40


@given(
    history=st.lists(st.floats(0.1, 2000), max_size=20),
    etas=st.lists(st.one_of(st.none(), st.floats(0.01, 5000)), min_size=1),
    age=st.floats(0, 1500),
)
def test_no_minute_ever_has_more_than_thirty_looks(history: list[float], etas: list[float | None], age: float) -> None:
    pace, waited, looks = Pace(history), age, list[float]()
    for number in range(300):
        looks.append(waited)
        pause = pace.pause(waited, etas[number % len(etas)])
        assert pause >= 0.3
        waited += pause
    assert busiest_minute(looks) <= 30


# How it ends


async def test_the_last_look_is_the_answer(clock: FakeClock) -> None:
    assert await wait_until_done(script(WORKING, WORKING, DONE), clock=clock, pace=Pace(), budget=60) is DONE


@pytest.mark.parametrize("phase", [Phase.FAILED, Phase.CANCELLED])
async def test_every_final_state_ends_the_wait(phase: Phase, clock: FakeClock) -> None:
    end = Look(phase, "", reason="no face")
    assert await wait_until_done(script(WORKING, end), clock=clock, pace=Pace(), budget=60) is end


async def test_without_a_budget_it_looks_once(clock: FakeClock) -> None:
    assert await wait_until_done(script(WORKING, DONE), clock=clock, pace=Pace(), budget=0) is WORKING
    assert clock.naps == []


async def test_the_budget_is_used_to_its_end_and_not_beyond(clock: FakeClock) -> None:
    began = clock.now()
    assert await wait_until_done(script(WORKING), clock=clock, pace=Pace(), budget=45) is WORKING
    assert clock.now() - began == pytest.approx(45)


async def test_a_job_that_ends_at_the_deadline_is_seen(clock: FakeClock) -> None:
    looks = await looks_at(clock, 44.9, Pace(), budget=45)
    assert looks[-1] >= 44.9


# What it survives


def api(kind: type[NovitaAPIError], status: int, *, transient: bool) -> NovitaAPIError:
    return kind("oops", status=status, transient=transient)


PASSING: dict[str, NovitaError] = {
    "500": api(NovitaServerError, 500, transient=True),
    "429": api(RateLimitError, 429, transient=True),
    "no connection": NovitaConnectionError("cut"),
}


@pytest.mark.parametrize("fault", PASSING)
async def test_a_fault_that_passes_does_not_end_the_wait(fault: str, clock: FakeClock) -> None:
    look = script(*[PASSING[fault]] * 5, WORKING, *[PASSING[fault]] * 5, DONE)
    assert await wait_until_done(look, clock=clock, pace=Pace(), budget=60) is DONE


async def test_only_faults_until_the_budget_is_over_are_no_answer(clock: FakeClock) -> None:
    look = script(NovitaConnectionError("cut"))
    assert await wait_until_done(look, clock=clock, pace=Pace(), budget=30) is None


async def test_what_was_seen_before_a_fault_is_kept(clock: FakeClock) -> None:
    look = script(WORKING, NovitaConnectionError("cut"))
    assert await wait_until_done(look, clock=clock, pace=Pace(), budget=30) is WORKING


async def test_a_wrong_key_ends_it_at_once(clock: FakeClock) -> None:
    look = script(WORKING, api(AuthenticationError, 403, transient=False), DONE)
    with pytest.raises(AuthenticationError):
        await wait_until_done(look, clock=clock, pace=Pace(), budget=60)


async def test_soon_after_the_start_unknown_means_not_yet(clock: FakeClock) -> None:
    look = script(*[api(NotFoundError, 404, transient=False)] * 8, DONE)
    assert await wait_until_done(look, clock=clock, pace=Pace(), budget=60) is DONE


async def test_later_unknown_means_never(clock: FakeClock) -> None:
    began = clock.now()
    with pytest.raises(NotFoundError):
        await wait_until_done(script(api(NotFoundError, 404, transient=False)), clock=clock, pace=Pace(), budget=600)
    assert 20 < clock.now() - began < 25


@pytest.mark.parametrize("age", [None, 30.0])
async def test_an_old_or_foreign_task_that_is_unknown_is_so_at_once(age: float | None, clock: FakeClock) -> None:
    with pytest.raises(NotFoundError):
        await wait_until_done(
            script(api(NotFoundError, 404, transient=False)), clock=clock, pace=Pace(), budget=600, age=age
        )
    assert clock.naps == []


# How it shows that it lives


class Signs:
    """Notes when a sign of life came, and what it said."""

    def __init__(self) -> None:
        self.at: list[float] = []
        self.seen: list[Progress] = []
        self._clock = LoopClock()

    async def __call__(self, progress: Progress) -> None:
        self.at.append(self._clock.now())
        self.seen.append(progress)

    def longest_silence(self) -> float:
        return max(later - earlier for earlier, later in zip(self.at, self.at[1:], strict=False))


def test_there_is_a_sign_at_once_and_then_every_few_seconds() -> None:
    """Product 10: the first within a second, then at least every 10 s."""
    signs = Signs()

    async def wait() -> None:
        await wait_until_done(script(WORKING), clock=LoopClock(), pace=Pace(), budget=900, on_progress=signs)

    run(wait)
    assert signs.at[0] == 0
    assert signs.longest_silence() <= 5.01
    assert signs.at[-1] >= 890
    assert signs.seen[-1].note == "processing"


def test_there_are_signs_even_while_a_look_hangs() -> None:
    signs = Signs()

    async def wait() -> Look[str] | None:
        async def look() -> Look[str]:
            await anyio.sleep_forever()
            raise AssertionError

        return await wait_until_done(look, clock=LoopClock(), pace=Pace(), budget=60, on_progress=signs)

    assert run(wait) is None
    assert signs.longest_silence() <= 5.01
    assert 55 <= signs.at[-1] <= 61


def test_a_hanging_look_ends_with_the_budget_but_gets_its_chance() -> None:
    async def wait() -> tuple[Look[str] | None, float]:
        async def look() -> Look[str]:
            await anyio.sleep(7)
            return DONE

        seen = await wait_until_done(look, clock=LoopClock(), pace=Pace(), budget=0)
        return seen, LoopClock().now()

    assert run(wait) == (DONE, 7)


@pytest.mark.parametrize("hanging", [False, True])
def test_cancelled_it_stops_at_once(hanging: bool) -> None:
    looks: list[float] = []

    async def look() -> Look[str]:
        looks.append(LoopClock().now())
        if hanging:
            await anyio.sleep_forever()
        return WORKING

    async def wait() -> float:
        with anyio.move_on_after(33.3) as scope:
            await wait_until_done(look, clock=LoopClock(), pace=Pace(), budget=600)
        assert scope.cancelled_caught
        stopped = LoopClock().now()
        await anyio.sleep(100)
        return stopped

    assert run(wait) == pytest.approx(33.3)
    assert looks[-1] <= 33.3


def test_what_happens_alongside_signs_is_told_as_it_is() -> None:
    async def fail() -> None:
        raise NovitaConnectionError("cut")

    async def sign() -> None:
        pass

    async def both() -> None:
        with pytest.raises(NovitaConnectionError):
            await alongside(fail, sign)

    run(both)
