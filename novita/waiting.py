"""The waiting helper: one loop, one deadline, one progress report for everything that takes long.

Media tasks, instances that boot, endpoints that deploy, batches, image saves, training, gateway jobs: each brings
a `look` that asks once and says what it saw. Nothing else in this product waits.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

import anyio

from .clock import Clock
from .errors import NotFoundError, NovitaAPIError, NovitaConnectionError

T = TypeVar("T")


class Phase(StrEnum):
    """Where something that takes long stands. Only `working` is not final."""

    WORKING = "working"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Look(Generic[T]):
    """What one look saw.

    Args:
        value: The thing itself, as far as it is known.
        progress: Percent, 0 to 100, where Novita tells.
        eta: Seconds left, where Novita tells.
        note: The state in a few words ("pulling the image").
        reason: Why it failed.
    """

    phase: Phase
    value: T
    progress: float | None = None
    eta: float | None = None
    note: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Progress:
    """A sign of life: seconds waited so far, and what the last look saw."""

    waited: float
    percent: float | None
    eta: float | None
    note: str


OnProgress = Callable[[Progress], Awaitable[None]]

HEARTBEAT = 5.0
_SETTLING = 20.0
"""Seconds after the start in which "no such task" means "not yet", not "never"."""

_LOOK_AT_LEAST = 8.0
"""Seconds one look may take even where the budget is nearly over: a look that never ends shows nothing."""


@dataclass
class Pace:
    """When to look next: soon at first, later by how long such jobs have taken before.

    Without history a pause is a fixed share of the time already waited, so the delay after the end is a share of
    the job's length. With history the looks saved before the earliest likely end are spent around it. After the
    first ten seconds there are never more than `per_minute` looks in any minute.
    """

    history: Sequence[float] = ()
    share: float = 0.07
    shortest: float = 0.3
    longest: float = 10.0
    per_minute: int = 30
    _looks: deque[float] = field(default_factory=lambda: deque[float](), repr=False)

    def __post_init__(self) -> None:
        known = sorted(self.history)
        self._window: tuple[float, float] | None = None
        if len(known) >= 3:
            self._window = (known[len(known) // 10], known[-1 - len(known) // 10])

    def pause(self, waited: float, eta: float | None = None) -> float:
        """Seconds until the next look, `waited` seconds into the job. Call once per look."""
        self._looks.append(waited)
        pause = min(self.longest, max(self.shortest, self.share * waited))
        if self._window is not None:
            low, high = self._window[0] * 0.95, self._window[1] * 1.1
            if waited < low:
                pause = min(self.longest, max(pause, low - waited))
            elif waited <= high:
                pause = max(self.shortest, self.share * 0.4 * waited)
        elif eta is not None and eta > 0:
            # An eta is a hint: trust half of it, so a wrong one costs little.
            pause = min(self.longest, max(pause, eta / 2))
        return max(pause, self._quota(waited))

    def _quota(self, waited: float) -> float:
        """Seconds until the next look is within the quota."""
        counted = [t for t in self._looks if t > 10 and t > waited - 60]
        while self._looks and self._looks[0] <= waited - 60:
            self._looks.popleft()
        if len(counted) < self.per_minute - 1:
            return 0.0
        return counted[-(self.per_minute - 1)] + 60 - waited


async def wait_until_done(
    look: Callable[[], Awaitable[Look[T]]],
    *,
    clock: Clock,
    pace: Pace,
    budget: float,
    age: float | None = 0.0,
    on_progress: OnProgress | None = None,
) -> Look[T] | None:
    """Look until the end or until `budget` seconds are over; the last look either way.

    Faults that pass never end the wait: a look that failed counts as "still working". None means that the budget
    ran out before a single look succeeded.

    Args:
        age: Seconds since the job was submitted; None where that is not known, and it must be visible at once.

    Raises:
        NovitaError: A fault that will not pass (wrong key, unknown task).
    """
    started = clock.now()
    seen: Look[T] | None = None
    note = ""

    async def report() -> None:
        if on_progress is not None:
            percent, eta = (seen.progress, seen.eta) if seen else (None, None)
            await on_progress(Progress(clock.now() - started, percent, eta, note))

    await report()
    while True:
        try:
            # A look that hangs must not outlive the budget: the host would give up on the call first.
            with anyio.move_on_after(max(_LOOK_AT_LEAST, budget - (clock.now() - started))):
                seen = await look()
                note = seen.note
                if seen.phase is not Phase.WORKING:
                    return seen
        except NotFoundError:
            if age is None or age + clock.now() - started > _SETTLING:
                raise
            note = "not visible yet"
        except NovitaAPIError as error:
            if not error.transient:
                raise
            note = "Novita did not answer properly; still trying"
        except NovitaConnectionError:
            note = "Novita could not be reached; still trying"
        waited = clock.now() - started
        left = budget - waited
        if left <= 0:
            return seen
        wake = clock.now() + min(pace.pause((age or 0) + waited, seen.eta if seen else None), left)
        while (remaining := wake - clock.now()) > 0:
            await clock.sleep(min(remaining, HEARTBEAT))
            if wake - clock.now() > 0:
                await report()
        await report()
