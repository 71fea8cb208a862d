"""The waiting helper: one loop, one deadline, one progress report for everything that takes long.

Media tasks, instances that boot, endpoints that deploy, batches, image saves, training, gateway jobs: each brings
a `look` that asks once and says what it saw. Nothing else in this product waits, but for a turn to send something: who
may be next is said at the end.
"""

import math
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

import anyio

from .clock import Clock
from .errors import NotFoundError, NovitaAPIError, NovitaConnectionError, NovitaError

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
SETTLING = 20.0
"""Seconds after the submit in which "no such task" means "not yet", not "never"."""

_LOOK_AT_LEAST = 8.0
"""Seconds one look may take even where the budget is nearly over: a look that never ends shows nothing."""


@dataclass
class Pace:
    """When to look next: soon at first, later by how long such jobs have taken before.

    A pause is a share of the time already waited, so that the delay after the end is a share of the job's length.
    After the first ten seconds there are never more than `per_minute` looks in any minute, and the share grows in
    time for them to last: nobody is left without looks because they were spent too fast. With history they are
    saved before the earliest likely end and spent around it.

    Args:
        history: Seconds that earlier jobs of the kind took.
        share: Of the time waited, where looks are plenty.
        shortest, longest: Bounds of a pause in seconds.
    """

    history: Sequence[float] = ()
    share: float = 0.05
    shortest: float = 0.35
    longest: float = 10.0
    per_minute: int = 30
    _counted: deque[float] = field(default_factory=lambda: deque[float](), repr=False)

    def __post_init__(self) -> None:
        known = sorted(self.history)
        self._window: tuple[float, float] | None = None
        if len(known) >= 3:
            self._window = (known[len(known) // 10] * 0.95, known[-1 - len(known) // 10] * 1.1)

    def pause(self, waited: float, eta: float | None = None) -> float:
        """Seconds until the next look, `waited` seconds into the job. Call once per look."""
        if waited > _FREE:
            self._counted.append(waited)
        while self._counted and self._counted[0] <= waited - 60:
            self._counted.popleft()
        left = self.per_minute - 1 - len(self._counted)
        renewed = (self._counted[0] if self._counted else max(waited, _FREE)) + 60
        # A hair more than a minute: rounding must not make the look come before its turn.
        spent = renewed + 0.01 - waited if left <= 0 else 0.0
        pause = max(spent, waited * max(self.share, _lasting(waited, renewed, max(1, left))))
        if self._window is not None and waited <= self._window[1]:
            low, high = self._window
            if waited < low:
                # Not blindly: the history may be of longer jobs.
                pause = max(pause, min(low - waited, waited * _COARSE))
            else:
                after = _lasting(high, renewed, 1) / _BEARABLE
                pause = waited * max(self.share / 2.5, _lasting(waited, high, max(1.0, left - after)))
        elif self._window is None and eta is not None and eta > 0:
            # An eta is a hint: half of it is trusted at a time, and no more than what was waited bears out.
            pause = max(pause, min(eta / 2, waited * _COARSE)) if eta > 2 * pause else min(pause, eta)
        return max(spent, min(self.longest, max(self.shortest, pause)))


_FREE = 10.0
"""Seconds into a job after which looks are counted."""
_COARSE = 0.2
"""The share that a pause may be while the end is not thought near."""
_BEARABLE = 0.095
"""The share that a pause may be where looks are few: half of it is the mean delay."""


def _lasting(start: float, end: float, looks: float) -> float:
    """The share of the time waited by which so many looks reach from `start` to `end`."""
    if start < _FREE:
        return 0.0
    return math.log(max(1.0, end / start)) / looks


async def alongside(work: Callable[[], Awaitable[T]], sign: Callable[[], Awaitable[None]]) -> T:
    """Await `work`, giving a sign of life every few seconds; for what waits on the network and not on the clock."""
    outcome: list[T] = []
    trouble: list[Exception] = []

    async def beat() -> None:
        while True:
            await anyio.sleep(HEARTBEAT)
            await sign()

    async with anyio.create_task_group() as group:
        group.start_soon(beat)
        try:
            outcome.append(await work())
        except Exception as error:  # raised below as it is: the group would wrap it
            trouble.append(error)
        group.cancel_scope.cancel()
    if trouble:
        raise trouble[0]
    return outcome[0]


class Nudge:
    """A touch from outside: what is waited for may have come, so the next look is due at once."""

    def __init__(self) -> None:
        self._given = anyio.Event()

    def give(self) -> None:
        """Wake whoever waits."""
        self._given.set()

    async def pause(self, clock: Clock, seconds: float) -> bool:
        """Sleep so long, or until a nudge; whether there was one. It counts once."""
        async with anyio.create_task_group() as group:

            async def listen() -> None:
                await self._given.wait()
                group.cancel_scope.cancel()

            group.start_soon(listen)
            await clock.sleep(seconds)
            group.cancel_scope.cancel()
        given = self._given.is_set()
        if given:
            self._given = anyio.Event()
        return given


@dataclass
class Unasked:
    """Why the last look of a wait saw nothing: a thing that cannot be asked about is not said to go on well."""

    error: NovitaError | None = None

    @property
    def why(self) -> str:
        """A sentence, or nothing."""
        return f"Novita could not be asked how far it is: {self.error}" if self.error else ""


async def wait_until_done(
    look: Callable[[], Awaitable[Look[T]]],
    *,
    clock: Clock,
    pace: Pace,
    budget: float,
    age: float | None = 0.0,
    on_progress: OnProgress | None = None,
    nudge: Nudge | None = None,
    unasked: Unasked | None = None,
) -> Look[T] | None:
    """Look until the end or until `budget` seconds are over; the last look either way.

    Faults that pass never end the wait: a look that failed counts as "still working". None means that the budget
    ran out before a single look succeeded.

    Args:
        age: Seconds since the job was submitted; None where that is not known, and it must be visible at once.
        nudge: Makes the next look come at once.
        unasked: Told why the last look saw nothing.

    Raises:
        NovitaError: A fault that will not pass (wrong key, unknown task).
    """
    started = clock.now()
    nudge = nudge or Nudge()
    unasked = unasked or Unasked()
    seen: Look[T] | None = None
    note = ""

    async def look_in_time() -> Look[T] | None:
        # A look that hangs must not outlive the budget: the host would give up on the call first.
        with anyio.move_on_after(max(_LOOK_AT_LEAST, budget - (clock.now() - started))):
            return await look()
        return None

    async def report() -> None:
        if on_progress is not None:
            percent, eta = (seen.progress, seen.eta) if seen else (None, None)
            await on_progress(Progress(clock.now() - started, percent, eta, note))

    await report()
    while True:
        try:
            new = await alongside(look_in_time, report)
            if new is not None:
                seen, note, unasked.error = new, new.note, None
                if seen.phase is not Phase.WORKING:
                    return seen
        except NotFoundError:
            if age is None or age + clock.now() - started > SETTLING:
                raise
            note = "not visible yet"
        except NovitaAPIError as error:
            if not error.transient:
                raise
            note, unasked.error = "Novita did not answer properly; still trying", error
        except NovitaConnectionError as error:
            if error.lasting:
                raise
            note, unasked.error = "Novita could not be reached; still trying", error
        waited = clock.now() - started
        left = budget - waited
        if left <= 0:
            return seen
        wake = clock.now() + min(pace.pause((age or 0) + waited, _eta(seen, (age or 0) + waited)), left)
        while (remaining := wake - clock.now()) > 0:
            if await nudge.pause(clock, min(remaining, HEARTBEAT)):
                break
            if wake - clock.now() > 0:
                await report()
        await report()


def was_watched(begun: float, working_at: float, now: float) -> bool:
    """Whether an end seen now tells how long a job took; one looked at long after its end does not. Unix seconds.

    Args:
        working_at: When it was last seen at work.
    """
    return now - working_at <= max(2.0, 0.15 * (now - begun))


def _eta(seen: Look[T] | None, waited: float) -> float | None:
    """Seconds left as Novita tells them, or as its percent suggest."""
    if seen is None or seen.eta is not None:
        return seen.eta if seen else None
    if seen.progress is None or not 5 <= seen.progress < 100:
        return None
    return waited * (100 - seen.progress) / seen.progress


# Before something is sent -------------------------------------------------------------------------------------------

Tell = Callable[[str], Awaitable[None]]


class Turns(Protocol):
    """A queue before every lane: what Novita limits by itself, one key's requests for one model."""

    async def wait(self, lane: str, owner: str) -> None:
        """Return when a request of this caller may be sent.

        Raises:
            TurnTooFarError: It would take too long; nothing was sent.
        """
        ...

    async def refused(self, lane: str, retry_after: float | None) -> None:
        """Novita turned a request away: nothing goes on this lane for a while.

        Args:
            retry_after: Seconds that Novita asked to wait, where it did.
        """
        ...


_tell: ContextVar[Tell | None] = ContextVar("tell_of_waiting", default=None)


@contextmanager
def telling_of_waiting(tell: Tell) -> Generator[None]:
    """Within the block, and in what it begins, `tell` hears why nothing is sent yet."""
    before = _tell.set(tell)
    try:
        yield
    finally:
        _tell.reset(before)


async def tell_of_waiting(seconds: float) -> None:
    """Say that a request waits for Novita's limit, and for about how long."""
    tell = _tell.get()
    if tell is not None:
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):  # the caller has gone; the request has not
            await tell(f"waiting for Novita's limit, about {max(1, round(seconds))} s")
