"""Decides which earlier job a repeated call joins, so that a call that is made twice is paid for once.

A host (the program with the agent in it, such as Claude Desktop) cancels calls after 5 to 60 seconds, and its model
tries again. The same call then joins the job that it began before, if that job still runs, or if it ended within the
last ten minutes and its result reached nobody. The decision is made in the transaction that would note the new job,
so that two processes cannot both begin one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from .databases import Db

DELIVERED_WITHIN = 50.0
"""Seconds from a call to its answer after which the host may have given up without a word."""
ENDED_WITHIN = 600.0
"""Seconds for which a job that has ended can be joined, if its result reached nobody."""


class BegunJob(Protocol):
    """The part of a job that this module reads."""

    @property
    def kind(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def created(self) -> datetime: ...
    @property
    def finished(self) -> datetime | None: ...


@dataclass(frozen=True)
class JoinRule:
    """How long jobs of a kind are joined.

    Args:
        runs_for: Seconds after its begin at which such a job counts as ended, even if nobody has looked.
        lost: Whether to join a job of which it is unknown if Novita accepted it. Pass False for kinds that have
            their own way to find out.
    """

    runs_for: float = 3_600.0
    lost: bool = True

    def fits(self, job: BegunJob, now: float) -> bool:
        """Whether a job whose result reached nobody is joined at `now` (Unix seconds)."""
        begun = job.created.timestamp()
        ended = job.finished.timestamp() if job.finished is not None else begun
        match job.state:
            case "submitting":
                return True
            case "working":
                return now - begun <= self.runs_for
            case "unconfirmed":
                return self.lost and now - ended <= ENDED_WITHIN
            case "succeeded" | "failed":
                return now - ended <= ENDED_WITHIN
            case _:  # refused or cancelled: nothing was made, and nothing is paid twice by asking again
                return False


@dataclass
class SameCall:
    """What identifies a call, to recognise another one that asks for the same.

    Args:
        key: Equal for calls of one owner that ask for the same.
        rules: By kind of job; a kind without a rule is never joined.
        again: The caller wants a new job, so nothing is joined.
        job_key: The row that this call began, or that it joined.
    """

    key: str
    rules: Mapping[str, JoinRule] = field(default_factory=dict[str, JoinRule])
    again: bool = False
    job_key: str = ""

    def fits(self, job: BegunJob, now: float) -> bool:
        """Whether this call joins that job, which the same call began."""
        rule = self.rules.get(job.kind)
        return not self.again and rule is not None and rule.fits(job, now)


class Given:
    """Jobs whose result was delivered to its caller. That is noted at once, and written when the journal allows it."""

    def __init__(self) -> None:
        self._unwritten: set[str] = set()

    def add(self, key: str) -> None:
        """Note that a job's result was delivered; from now on no call joins it."""
        self._unwritten.add(key)

    def take_back(self, key: str) -> None:
        """Undo `add`, because what was delivered was not the job's final result."""
        self._unwritten.discard(key)

    def __contains__(self, key: str) -> bool:
        """Whether the job's result was delivered and its row does not say so yet."""
        return key in self._unwritten

    def write(self, db: Db, now: float) -> frozenset[str]:
        """Write the deliveries that are not written yet. Pass the result to `written` once the transaction commits."""
        keys = frozenset(self._unwritten)
        for key in keys:
            db.execute("UPDATE jobs SET delivered = ? WHERE key = ?", (now, key))
        return keys

    def written(self, keys: frozenset[str]) -> None:
        self._unwritten -= keys
