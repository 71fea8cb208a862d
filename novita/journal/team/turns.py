"""A fair queue for Novita's limit on requests a minute (of one key, for one model), over all processes on a journal.

A request that must wait draws a number in the journal. Numbers are served in rounds: first each caller's first
request, then each caller's second. So a caller with a hundred requests delays one with a single request by one
request only. While no limit is known (none is set, and Novita has refused nothing lately), nobody waits and the
journal is not asked.
"""

import logging
import uuid
from dataclasses import dataclass

import anyio

from ...core.clock import Clock
from ...core.errors import JournalError, NovitaError
from ...core.waiting import tell_of_waiting
from ...core.words import counted
from ..databases import Db
from ..journal import Journal

logger = logging.getLogger(__name__)

MINUTE = 60.0
LONGEST_WAIT = 120.0
"""Seconds after which a waiting request is refused and its caller asked to come again."""
ALIVE = 10.0
"""Seconds after which a number is skipped if its process has not asked about it again."""
UNNAMED_PAUSE = 10.0
"""Seconds for which nothing is sent after a refusal without a Retry-After."""
_LOOK = 1.0
"""The most seconds between two checks whether it is a request's turn."""
_APART = 0.25
"""Seconds between two requests after Novita has refused one, so that few are refused again."""
_TELL_EVERY = 5.0


class TurnTooFarError(NovitaError):
    """Too many requests are before this one."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            "Novita's limit of requests a minute is used up, and others wait for it, too",
            billed="no",
            next_step=f"Call again in about {counted(max(1, round(seconds)), 'second')}, or take another model.",
        )


@dataclass(frozen=True)
class _Place:
    """A request's place in the queue: the seconds until its turn. At 0 it is its turn, and its number is removed."""

    seconds: float


class FairTurns:
    """The queue, as `core.waiting.Turns`.

    Args:
        per_minute: How many requests Novita takes in a minute of one key for one model; 0 if that is unknown.
    """

    def __init__(self, journal: Journal, clock: Clock, per_minute: int = 0) -> None:
        self._journal, self._clock, self._per_minute = journal, clock, per_minute
        self._narrow: dict[str, float] = {}
        """Lane -> until when (by the clock) its requests are queued, because Novita has refused one."""

    async def wait(self, lane: str, owner: str) -> None:
        """Return when a request of this caller may be sent; at once if no limit is known.

        Raises:
            TurnTooFarError: It would take too long; nothing was sent. JournalError: the journal cannot be used.
        """
        if not self._per_minute and self._narrow.get(lane, 0.0) <= self._clock.now():
            self._narrow.pop(lane, None)
            return
        number, begun, last_told = uuid.uuid4().hex, self._clock.now(), float("-inf")
        going = False
        try:
            while True:
                place = await self._journal.transact(lambda db: self._ask(db, lane, owner, number))
                if not place.seconds:
                    going = True
                    return
                now = self._clock.now()
                if now - begun + place.seconds > LONGEST_WAIT:
                    raise TurnTooFarError(place.seconds)
                if now - last_told >= _TELL_EVERY:
                    last_told = now
                    await tell_of_waiting(place.seconds)
                await self._clock.sleep(min(_LOOK, place.seconds))
        except JournalError as error:
            error.billed = "no"
            raise
        finally:
            if not going:  # if the number cannot be removed here, the others skip it after `ALIVE` seconds
                with anyio.CancelScope(shield=True):
                    await self._journal.keep(
                        lambda db: db.execute("DELETE FROM turns WHERE number = ?", (number,)).close()
                    )

    async def refused(self, lane: str, retry_after: float | None) -> None:
        """Hold this lane's requests back for a while, in every process, because Novita has refused one."""
        pause = UNNAMED_PAUSE if retry_after is None else retry_after
        self._narrow[lane] = self._clock.now() + pause + MINUTE

        def close(db: Db) -> None:
            db.lock(f"lane {lane}")
            until = self._journal.wall() + pause
            db.execute("DELETE FROM lanes WHERE opens < ?", (self._journal.wall() - MINUTE,))
            db.execute(
                "INSERT INTO lanes (lane, opens) VALUES (?, ?) ON CONFLICT (lane) DO UPDATE SET opens = excluded.opens",
                (lane, until),
            )

        try:
            await self._journal.transact(close)
        except JournalError as error:  # not raised: the caller needs Novita's refusal, not this error
            logger.warning("other copies were not told of Novita's limit: %s", error)

    def _ask(self, db: Db, lane: str, owner: str, number: str) -> _Place:
        """Draw a number, or renew it, and return its place in the queue."""
        db.lock(f"lane {lane}")
        now = self._journal.wall()
        db.execute("DELETE FROM turns WHERE lane = ? AND alive < ?", (lane, now - ALIVE))
        if db.execute("UPDATE turns SET alive = ? WHERE number = ?", (now, number)).rowcount == 0:
            self._draw(db, lane, owner, number, now)
        opens = self._opens(db, lane, now)
        place: int = db.execute(
            "SELECT COUNT(*) FROM turns AS other JOIN turns AS mine ON mine.number = ? AND other.lane = mine.lane"
            " WHERE other.turn < mine.turn OR (other.turn = mine.turn AND other.drawn < mine.drawn)"
            " OR (other.turn = mine.turn AND other.drawn = mine.drawn AND other.number < mine.number)",
            (number,),
        ).fetchone()[0]
        wait = max(opens - now, self._free_in(db, lane, place, now))
        if place or wait > 0:
            return _Place(max(_APART, max(0.0, wait) + place * _APART))
        db.execute("DELETE FROM turns WHERE number = ?", (number,))
        self._note_sent(db, lane, now)
        return _Place(0)

    def _draw(self, db: Db, lane: str, owner: str, number: str, now: float) -> None:
        """Draw a number in the round after this caller's last one, or in the round that is being served."""
        first, last = db.execute(
            "SELECT MIN(turn), MAX(CASE WHEN owner = ? THEN turn END) FROM turns WHERE lane = ?", (owner, lane)
        ).fetchone()
        turn = last + 1 if last is not None else first or 0
        db.execute(
            "INSERT INTO turns (number, lane, owner, turn, drawn, alive) VALUES (?, ?, ?, ?, ?, ?)",
            (number, lane, owner, turn, now, now),
        )

    def _opens(self, db: Db, lane: str, now: float) -> float:
        row = db.execute("SELECT opens FROM lanes WHERE lane = ?", (lane,)).fetchone()
        return row[0] if row else now

    def _free_in(self, db: Db, lane: str, place: int, now: float) -> float:
        """Seconds until the request at this place fits the limit, whenever Novita's minute begins."""
        if not self._per_minute:
            return 0.0
        db.execute("DELETE FROM sendings WHERE lane = ? AND at <= ?", (lane, now - MINUTE))
        sent = [row[0] for row in db.execute("SELECT at FROM sendings WHERE lane = ? ORDER BY at", (lane,)).fetchall()]
        over = len(sent) + place - self._per_minute
        if over < 0:
            return 0.0
        rounds, left = divmod(over, self._per_minute)
        return max(0.0, sent[min(left, len(sent) - 1)] + MINUTE * (rounds + 1) - now) if sent else MINUTE * rounds

    def _note_sent(self, db: Db, lane: str, now: float) -> None:
        if self._per_minute:
            db.execute("INSERT INTO sendings (lane, at) VALUES (?, ?)", (lane, now))
        # After a refusal, requests are sent one by one.
        db.execute("UPDATE lanes SET opens = ? WHERE lane = ? AND opens > ?", (now + _APART, lane, now - MINUTE))
