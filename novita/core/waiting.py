"""The waiting helper: one loop, one deadline, one progress report for everything that takes long.

Media tasks, instances that boot, endpoints that deploy, batches, image saves, training and gateway jobs each bring
a `look` that asks Novita once and says what it saw. The only other wait in this product is a request's turn under
Novita's rate limit (`Turns`, at the end of this file). "Host" means the program with the agent in it, such as Claude
Desktop; it cancels a tool call that takes too long.
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
    """The state of something that takes long. Only `working` is not final."""

    WORKING = "working"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Look(Generic[T]):
    """What one look saw.

    Args:
        value: The task, machine or other thing that was looked at, as far as it is known.
        progress: Percent, 0 to 100, where Novita reports it.
        eta: Seconds left, where Novita reports them.
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
    """A progress report: seconds waited so far, and what the last look saw."""

    waited: float
    percent: float | None
    eta: float | None
    note: str


OnProgress = Callable[[Progress], Awaitable[None]]

HEARTBEAT = 5.0
SETTLING = 20.0
"""Seconds after the submit in which "no such task" means "not yet", not "never"."""

_LOOK_AT_LEAST = 8.0
"""Seconds that one look may take even when the budget is nearly over: a look that is cut off shows nothing."""


@dataclass
class Pace:
    """When to look next: often at first, later by how long such jobs have taken before.

    The problem: a job ends after an unknown time L. We want to notice that with a mean delay of at most 0.4 s or 5 %
    of L, whichever is more, with at most 30 looks in any minute after the first ten seconds (bench/polling.py
    measures both). Each pause is a share s of the time t already waited. The job's end falls anywhere within a pause,
    so the mean delay is s/2 of L, and getting from a to b takes about ln(b/a)/s looks. From this the numbers follow:

    - share 0.05: a mean delay of 2.5 % of L. The other half of the goal is left for the look itself.
    - shortest 0.35 s: a mean delay of 0.18 s. It rules until 0.05 t exceeds it, at t = 7 s.
    - longest 10 s: it rules from t = 200 s on, where its mean delay of 5 s is 2.5 % of L or less.
    - per_minute 30: one look is held back for the deadline, which comes out of turn, so 29 must last a minute. From
      10 s to 70 s they need s = ln(7)/29 = 0.067, a mean delay of 3.4 %. From 70 s to 130 s, s = 0.02 would do,
      so 0.05 rules again. `_lasting` computes this share, so that no minute runs out of looks.
    - history of three jobs or more: 80 % of them ended between their 10th and 90th percentile. Within that window,
      made 5 % longer before and 10 % after, s is 0.05/2.5 = 0.02 (a mean delay of 1 %) as far as looks allow. They
      are saved up before it, where s may be 0.2 (`_COARSE`), and enough are kept for s = 0.095 after it: a mean
      delay of 4.75 %, just within the goal (`_BEARABLE`).

    Args:
        history: Seconds that earlier jobs of the kind took.
        share: Of the time waited, while looks are plentiful.
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
        # Slightly more than a minute, so that rounding cannot put the next look into the same minute.
        spent = renewed + 0.01 - waited if left <= 0 else 0.0
        pause = max(spent, waited * max(self.share, _lasting(waited, renewed, max(1, left))))
        if self._window is not None and waited <= self._window[1]:
            low, high = self._window
            if waited < low:
                # The history may be of longer jobs than this one, so do not sleep through to the window.
                pause = max(pause, min(low - waited, waited * _COARSE))
            else:
                after = _lasting(high, renewed, 1) / _BEARABLE
                pause = waited * max(self.share / 2.5, _lasting(waited, high, max(1.0, left - after)))
        elif self._window is None and eta is not None and eta > 0:
            # Novita's eta may be wrong, so sleep at most half of it, and at most a share of the time waited.
            pause = max(pause, min(eta / 2, waited * _COARSE)) if eta > 2 * pause else min(pause, eta)
        return max(spent, min(self.longest, max(self.shortest, pause)))


_FREE = 10.0
"""Seconds into a job after which looks are counted."""
_COARSE = 0.2
"""The largest share of the time waited that a pause may take while the job is not expected to end soon."""
_BEARABLE = 0.095
"""The largest share that still meets the goal of 5 % (the mean delay is half of it); used when looks are scarce."""


def _lasting(start: float, end: float, looks: float) -> float:
    """The share s at which this many looks last from `start` to `end`: ln(end / start) / looks."""
    if start < _FREE:
        return 0.0
    return math.log(max(1.0, end / start)) / looks


async def alongside(work: Callable[[], Awaitable[T]], sign: Callable[[], Awaitable[None]]) -> T:
    """Await `work`, and call `sign` every few seconds meanwhile, so that the host sees that the call is alive."""
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
    """Lets another task end a pause early, because the job may have ended (Novita called a webhook, for one)."""

    def __init__(self) -> None:
        self._given = anyio.Event()

    def give(self) -> None:
        """Wake whoever waits."""
        self._given.set()

    async def pause(self, clock: Clock, seconds: float) -> bool:
        """Sleep for `seconds` or until a nudge, and return whether there was one. Each nudge ends one pause."""
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
    """Why the last look of a wait failed. Callers say so, because "still working" would then be a guess."""

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
    """Look until the job has ended or `budget` seconds are over, and return the last look.

    A temporary fault never ends the wait: a look that failed counts as "still working". None means that the budget
    ran out before a single look succeeded.

    Args:
        age: Seconds since the job was submitted. None where that is unknown; "not found" then ends the wait at once.
        nudge: Makes the next look come at once.
        unasked: Receives the reason why the last look failed.

    Raises:
        NovitaError: A lasting fault (wrong key, unknown task).
    """
    started = clock.now()
    nudge = nudge or Nudge()
    unasked = unasked or Unasked()
    seen: Look[T] | None = None
    note = ""

    async def look_in_time() -> Look[T] | None:
        # A look that hangs must not outlive the budget, because the host would cancel the call first.
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
    """Whether a job that is seen to have ended now was watched closely enough for its duration to be known.

    Args:
        begun, now: Unix seconds.
        working_at: When it was last seen working, in Unix seconds.
    """
    return now - working_at <= max(2.0, 0.15 * (now - begun))


def _eta(seen: Look[T] | None, waited: float) -> float | None:
    """Seconds left, as Novita reports them or as its percentage suggests."""
    if seen is None or seen.eta is not None:
        return seen.eta if seen else None
    if seen.progress is None or not 5 <= seen.progress < 100:
        return None
    return waited * (100 - seen.progress) / seen.progress


# Before something is sent -------------------------------------------------------------------------------------------

Tell = Callable[[str], Awaitable[None]]


class Turns(Protocol):
    """A queue for each lane. A lane is what Novita limits on its own: one key's requests for one model."""

    async def wait(self, lane: str, owner: str) -> None:
        """Return when a request of this caller may be sent.

        Raises:
            TurnTooFarError: It would take too long; nothing was sent.
        """
        ...

    async def refused(self, lane: str, retry_after: float | None) -> None:
        """Hold this lane's requests back for a while, because Novita turned one away.

        Args:
            retry_after: Seconds that Novita asked us to wait, if it named any.
        """
        ...


_tell: ContextVar[Tell | None] = ContextVar("tell_of_waiting", default=None)


@contextmanager
def telling_of_waiting(tell: Tell) -> Generator[None]:
    """Within the block, and in the tasks it starts, call `tell` with the reason whenever a request has to wait."""
    before = _tell.set(tell)
    try:
        yield
    finally:
        _tell.reset(before)


async def tell_of_waiting(seconds: float) -> None:
    """Report that a request waits for Novita's limit, and for about how many seconds."""
    tell = _tell.get()
    if tell is not None:
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):  # the caller has gone; the request has not
            await tell(f"waiting for Novita's limit, about {max(1, round(seconds))} s")
