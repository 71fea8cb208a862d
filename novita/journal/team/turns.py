"""A fair queue before what Novita takes of one key for one model in a minute, over all processes on a journal.

Who has to wait draws a number in the journal. Numbers are called up in rounds: each caller's first, then each caller's
second, so that somebody with a hundred requests delays another with one by one request. Nobody is delayed, and the
journal is not asked, while there is no limit to keep: none was settled, and Novita has turned nothing away of late.
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
"""Seconds after which who waits is told to come again."""
ALIVE = 10.0
"""Seconds after which the number of a process that has not asked again is passed over."""
UNNAMED_PAUSE = 10.0
"""Seconds that nothing is sent after a refusal that names none."""
_LOOK = 1.0
"""Seconds between two looks whether it is one's turn, at most."""
_APART = 0.25
"""Seconds between two requests once Novita has turned something away, so that few are turned away again."""
_TELL_EVERY = 5.0


class TurnTooFarError(NovitaError):
    """Too many are before this one."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            "Novita's limit of requests a minute is used up, and others wait for it, too",
            billed="no",
            next_step=f"Call again in about {counted(max(1, round(seconds)), 'second')}, or take another model.",
        )


@dataclass(frozen=True)
class _Place:
    """How long it will be; 0: it is one's turn, and the number is given back."""

    seconds: float


class FairTurns:
    """The queue, as `core.waiting.Turns`.

    Args:
        per_minute: What Novita takes of one key for one model in a minute; 0: nobody said.
    """

    def __init__(self, journal: Journal, clock: Clock, per_minute: int = 0) -> None:
        self._journal, self._clock, self._per_minute = journal, clock, per_minute
        self._narrow: dict[str, float] = {}
        """Lane -> until when (by the clock) requests on it are queued, because Novita has turned one away."""

    async def wait(self, lane: str, owner: str) -> None:
        """Return when a request of this caller may be sent; at once where there is no limit to keep.

        Raises:
            TurnTooFarError: It would take too long; nothing was sent. JournalError: the journal cannot be used.
        """
        if not self._per_minute and self._narrow.get(lane, 0.0) <= self._clock.now():
            self._narrow.pop(lane, None)
            return
        number, begun, told = uuid.uuid4().hex, self._clock.now(), float("-inf")
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
                if now - told >= _TELL_EVERY:
                    told = now
                    await tell_of_waiting(place.seconds)
                await self._clock.sleep(min(_LOOK, place.seconds))
        except JournalError as error:
            error.billed = "no"
            raise
        finally:
            if not going:  # what cannot be given back is passed over soon
                with anyio.CancelScope(shield=True):
                    await self._journal.keep(
                        lambda db: db.execute("DELETE FROM turns WHERE number = ?", (number,)).close()
                    )

    async def refused(self, lane: str, retry_after: float | None) -> None:
        """Novita turned a request away: nothing goes on this lane for a while, from any process that queues on it."""
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
        except JournalError as error:  # what Novita said matters more
            logger.warning("other copies were not told of Novita's limit: %s", error)

    def _ask(self, db: Db, lane: str, owner: str, number: str) -> _Place:
        """Draw a number, or show that one still waits, and hear whether it is called up."""
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
        """A number in the round after this caller's last one, or in the one that is called up now."""
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
        """Seconds until the request at this place is within the limit of a minute, whenever Novita's minute begins."""
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
        # What waits behind a refusal goes one by one.
        db.execute("UPDATE lanes SET opens = ? WHERE lane = ? AND opens > ?", (now + _APART, lane, now - MINUTE))
