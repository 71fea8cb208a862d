"""Asking twice is not paying twice: which earlier job a call joins instead of being sent.

Hosts cut calls off, at 5 seconds or at 60, and tell their model to try again. The same call then joins the job that it
started before, as long as that runs, or has ended within the last ten minutes and nobody was given what came of it.
Whether it does is decided in the transaction that would note the new job, so that processes that race decide alike.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from .databases import Db

DELIVERED_WITHIN = 50.0
"""Seconds from a call to its answer after which the host may have given up without a word."""
ENDED_WITHIN = 600.0
"""Seconds for which a job that ended, and was given to nobody, is joined."""


class BegunJob(Protocol):
    """What is looked at of a job."""

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
        runs_for: Seconds from its begin after which such a job has ended, even if nobody has looked.
        lost: Joined also where nobody knows whether it was accepted; else the kind has its own way to find out.
    """

    runs_for: float = 3_600.0
    lost: bool = True

    def fits(self, job: BegunJob, now: float) -> bool:
        """Whether a job that was given to nobody is joined now (Unix seconds)."""
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
    """A call, as far as another may be the same.

    Args:
        key: Equal for calls of one owner that ask for the same.
        rules: By kind of job; a kind without a rule is never joined.
        again: The caller wants another one: nothing is joined.
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
    """Jobs whose end was given to who asked for it: noted at once, written down when the journal can be written."""

    def __init__(self) -> None:
        self._unwritten: set[str] = set()

    def add(self, key: str) -> None:
        """From this moment on the job is joined no more."""
        self._unwritten.add(key)

    def take_back(self, key: str) -> None:
        """What was given was not what came of it."""
        self._unwritten.discard(key)

    def __contains__(self, key: str) -> bool:
        """Whether it is given, and the row does not say so yet."""
        return key in self._unwritten

    def write(self, db: Db, now: float) -> frozenset[str]:
        """Write down what is not written yet; those that are in the transaction, for `written` once it is kept."""
        keys = frozenset(self._unwritten)
        for key in keys:
            db.execute("UPDATE jobs SET delivered = ? WHERE key = ?", (now, key))
        return keys

    def written(self, keys: frozenset[str]) -> None:
        self._unwritten -= keys
