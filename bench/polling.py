"""Measures how late a finished job is noticed, and how often the waiting code asks, on a virtual clock.

    python bench/polling.py [--samples 100] [--seed 1] [--json]

The jobs take 1 s to 20 min. They are waited for without a history, with histories of different spread, and with times
left that Novita reports. The goals: the mean delay is at most 0.4 s or 5 % of the job's length, whichever is more, and
after the first ten seconds no minute has more than 30 requests. The exit code is 1 if a goal is missed.
"""

import argparse
import asyncio
import json
import random
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field

from novita_mcp.novita.core.waiting import Look, Pace, Phase, wait_until_done

LENGTHS = (1, 2, 4, 8, 12, 16, 20, 30, 45, 60, 90, 120, 180, 300, 600, 1200)
MOST_PER_MINUTE = 30
Draw = Callable[[random.Random, float], float]
Tell = Callable[[random.Random, float, float], tuple[float | None, float | None]]


@dataclass
class VirtualClock:
    """A clock whose sleep() moves the time forward at once."""

    time: float = 0.0

    def now(self) -> float:
        return self.time

    def wall(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


@dataclass(frozen=True)
class Scenario:
    """What is known about a job while it is waited for.

    Args:
        draw: Draws the real length of a job from its expected length in seconds.
        history: The number of earlier jobs, drawn in the same way, that are known.
        tell: Gives progress in percent and the time left in seconds, from the real length and the time waited.
    """

    name: str
    draw: Draw
    history: int = 0
    tell: Tell = lambda chance, length, waited: (None, None)


def spread(share: float) -> Draw:
    """Draws lengths with this standard deviation (a share of the length), skewed to long ones, as real lengths are."""
    return lambda chance, length: length * chance.lognormvariate(0, share)


def exact_eta(_: random.Random, length: float, waited: float) -> tuple[float | None, float | None]:
    return None, float(round(length - waited)) or None


def wrong_eta(chance: random.Random, length: float, waited: float) -> tuple[float | None, float | None]:
    return None, float(round((length - waited) * chance.uniform(0.3, 3))) or None


def percent(_: random.Random, length: float, waited: float) -> tuple[float | None, float | None]:
    return float(int(100 * waited / length)) or None, None


SCENARIOS = (
    Scenario("no history", spread(0.1)),
    Scenario("history, spread 10 %", spread(0.1), history=20),
    Scenario("history, spread 20 %", spread(0.2), history=20),
    Scenario("history, spread 30 %", spread(0.3), history=20),
    Scenario("eta to the second", spread(0.1), tell=exact_eta),
    Scenario("eta off by up to 3 x", spread(0.1), tell=wrong_eta),
    Scenario("percent", spread(0.1), tell=percent),
)


@dataclass
class PollingRow:
    """The figures for one length. Delays are in seconds; `worst_minute` counts requests after the first ten seconds."""

    scenario: str
    length: float
    mean: float
    p95: float
    goal: float
    looks: float
    worst_minute: int
    failures: list[str] = field(default_factory=list[str])


async def measure(scenario: Scenario, expected: float, samples: int, seed: int) -> PollingRow:
    """Wait for `samples` jobs of one expected length."""
    chance = random.Random(f"{seed} {scenario.name} {expected}")
    delays: list[float] = []
    counts: list[int] = []
    lengths: list[float] = []
    worst = 0
    for _ in range(samples):
        length = scenario.draw(chance, expected)
        history = [scenario.draw(chance, expected) for _ in range(scenario.history)]
        looks = await wait_for(length, Pace(history), scenario.tell, chance)
        delays.append(looks[-1] - length)
        counts.append(len(looks))
        lengths.append(length)
        worst = max(worst, worst_minute(looks))
    goal = max(0.4, 0.05 * statistics.fmean(lengths))
    row = PollingRow(
        scenario.name,
        expected,
        statistics.fmean(delays),
        statistics.quantiles(delays, n=20)[-1],
        goal,
        statistics.fmean(counts),
        worst,
    )
    if row.mean > goal:
        row.failures.append("mean delay")
    if worst > MOST_PER_MINUTE:
        row.failures.append("looks per minute")
    return row


async def wait_for(length: float, pace: Pace, tell: Tell, chance: random.Random) -> list[float]:
    """The times at which the waiting code asked about a job of this length; at the last one the job was done."""
    clock = VirtualClock()
    looks: list[float] = []

    async def look() -> Look[None]:
        looks.append(clock.now())
        if clock.now() >= length:
            return Look(Phase.SUCCEEDED, None)
        progress, eta = tell(chance, length, clock.now())
        return Look(Phase.WORKING, None, progress, eta)

    await wait_until_done(look, clock=clock, pace=pace, budget=10 * length + 60)
    return looks


def worst_minute(looks: Sequence[float]) -> int:
    """The most requests in any 60 s after the first ten seconds."""
    counted = [moment for moment in looks if moment > 10]
    return max((sum(1 for other in counted if moment - 60 < other <= moment) for moment in counted), default=0)


async def run(samples: int, seed: int) -> list[PollingRow]:
    return [await measure(scenario, length, samples, seed) for scenario in SCENARIOS for length in LENGTHS]


def show(rows: Sequence[PollingRow]) -> None:
    scenario = ""
    for row in rows:
        if row.scenario != scenario:
            scenario = row.scenario
            print(f"\n{scenario}\n{'length':>8} {'mean':>8} {'p95':>8} {'goal':>8} {'looks':>7} {'a minute':>9}")
        mark = f"  missed: {', '.join(row.failures)}" if row.failures else ""
        over = " (p95 above)" if row.p95 > row.goal and not mark else ""
        print(
            f"{row.length:>6g} s {row.mean:>6.2f} s {row.p95:>6.2f} s {row.goal:>6.2f} s {row.looks:>7.1f} "
            f"{row.worst_minute:>9}{mark}{over}"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rows = asyncio.run(run(given.samples, given.seed))
    if given.json:
        print(json.dumps([asdict(row) for row in rows]))
    else:
        show(rows)
    return 1 if any(row.failures for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
