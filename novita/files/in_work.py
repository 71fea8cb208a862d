"""Bounds the memory for files that callers hand in: for the whole process, and for each caller.

The content of a file stays in memory until its request is sent, by then in up to four copies: as it came, as base64,
within the request, and in the buffer being sent. Without a bound, twelve links of 100 MB each took 1.3 GB.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import anyio

from ..core.errors import InputError

MIB = 2**20


class InWork:
    """How many bytes of content all calls of a process hold together. Only one event loop may use it.

    Args:
        total: The most bytes for all callers together.
        share: The most bytes for one caller, and so also for one call or one file.
    """

    def __init__(self, total: int = 256 * MIB, share: int = 128 * MIB) -> None:
        self.total = total
        self.share = share
        self.most_held = 0
        """The most bytes that were ever held at one time; tests read it."""
        self._held: Counter[str] = Counter()
        self._waiting: list[_HeldTicket] = []

    @property
    def held(self) -> int:
        return sum(self._held.values())

    def hold(self, owner: str, patience: Callable[[], float]) -> "Hold":
        """The holding of one call, empty at first.

        Args:
            patience: Tells how many seconds the call may wait for other calls to end.
        """
        return Hold(self, owner, patience)

    async def take(self, owner: str, size: int, *, own: int, within: float) -> None:
        """Wait until `size` more bytes may be held. Calls are served in the order in which they ask.

        A call that holds something already goes first: it can end, and free its memory, only if it gets the rest.

        Args:
            own: How many bytes the same call holds already.

        Raises:
            InputError: The call wants more than one caller may have, or not enough memory became free in time.
        """
        if own + size > self.share:
            raise InputError(
                f"The files of this call have more than {self.share / MIB:.0f} MiB together, the most this server "
                "works on for one caller",
                next_step="Give links where the model takes them, smaller files, or fewer at a time.",
            )
        ticket = _HeldTicket(owner, size, bool(own))
        self._waiting.append(ticket)
        try:
            with anyio.fail_after(within):
                while not self._may(ticket):  # noqa: ASYNC110  # what is given back comes from ends of calls
                    await anyio.sleep(0.02)
        except TimeoutError as error:
            raise InputError(
                "This server is busy with other files",
                next_step="Try again in a minute, or give links where the model takes them.",
            ) from error
        finally:
            self._waiting.remove(ticket)
        self._held[owner] += size
        self.most_held = max(self.most_held, self.held)

    def _may(self, ticket: "_HeldTicket") -> bool:
        if not self._in_share(ticket) or self.held + ticket.size > self.total:
            return False
        ahead = self._waiting[: self._waiting.index(ticket)]
        return ticket.begun or not any(other.owner == ticket.owner or self._in_share(other) for other in ahead)

    def _in_share(self, ticket: "_HeldTicket") -> bool:
        return self._held[ticket.owner] + ticket.size <= self.share

    def give_back(self, owner: str, size: int) -> None:
        self._held[owner] -= size
        if not self._held[owner]:
            del self._held[owner]


@dataclass(frozen=True, eq=False)
class _HeldTicket:
    owner: str
    size: int
    begun: bool
    """Whether the waiting call holds something already."""


@dataclass
class Hold:
    """The bytes that one call holds."""

    budget: InWork
    owner: str
    patience: Callable[[], float]
    size: int = 0

    async def take(self, size: int) -> None:
        """Hold `size` more bytes. Raises what `InWork.take` raises."""
        if size > 0:
            await self.budget.take(self.owner, size, own=self.size, within=self.patience())
            self.size += size

    def give_back(self, size: int) -> None:
        """Free `size` bytes."""
        size = min(size, self.size)
        self.size -= size
        self.budget.give_back(self.owner, size)

    def release(self) -> None:
        """Free everything: the request is sent, or the call has ended. Safe to call any number of times."""
        self.give_back(self.size)


@dataclass
class Claim:
    """The part of a call's hold that one file takes up. Without a hold nothing is counted."""

    hold: Hold | None
    size: int = field(default=0, init=False)

    async def reach(self, size: int) -> None:
        """Make sure that at least `size` bytes are held for the file. Raises what `InWork.take` raises."""
        if self.hold is not None and size > self.size:
            await self.hold.take(size - self.size)
            self.size = size

    def settle(self, size: int) -> None:
        """Hold exactly the file's final size from now on."""
        if self.hold is not None and size < self.size:
            self.hold.give_back(self.size - size)
            self.size = size
