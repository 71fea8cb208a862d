"""Content that callers hand in, while it is in work: how much of it the process holds, and how much one caller may.

A byte that is handed in is held until its request is sent, and there are up to four of it by then: as it came, in
base64, in the request, on its way out. Twelve links of 100 MB took 1.3 GB when each was simply fetched.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import anyio

from ..core.errors import InputError

MIB = 2**20


class InWork:
    """What all calls of a process hold. One event loop's.

    Args:
        total: Bytes for all callers together.
        share: Bytes for one caller, so also for one call and for one file.
    """

    def __init__(self, total: int = 256 * MIB, share: int = 128 * MIB) -> None:
        self.total = total
        self.share = share
        self.most_held = 0
        """The most that was ever held, for tests."""
        self._held: Counter[str] = Counter()
        self._waiting: list[_HeldTicket] = []

    @property
    def held(self) -> int:
        return sum(self._held.values())

    def hold(self, owner: str, patience: Callable[[], float]) -> "Hold":
        """What one call will hold.

        Args:
            patience: Seconds it may wait for others to end.
        """
        return Hold(self, owner, patience)

    async def take(self, owner: str, size: int, *, own: int, within: float) -> None:
        """Wait for so many bytes more, in the order asked; who holds some already comes first, so that he can end.

        Args:
            own: What the same call holds already.

        Raises:
            InputError: The call wants more than one caller may have, or nothing became free in time.
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
    """Whether its call holds something already."""


@dataclass
class Hold:
    """What one call holds."""

    budget: InWork
    owner: str
    patience: Callable[[], float]
    size: int = 0

    async def take(self, size: int) -> None:
        """Hold so many bytes more. Raises as `InWork.take`."""
        if size > 0:
            await self.budget.take(self.owner, size, own=self.size, within=self.patience())
            self.size += size

    def give_back(self, size: int) -> None:
        """Hold so many bytes less."""
        size = min(size, self.size)
        self.size -= size
        self.budget.give_back(self.owner, size)

    def release(self) -> None:
        """Hold nothing any more: the request is sent, or the call has ended. Safe to call any number of times."""
        self.give_back(self.size)


@dataclass
class Claim:
    """What one file of a call takes of its hold. Without a hold it takes nothing."""

    hold: Hold | None
    size: int = field(default=0, init=False)

    async def reach(self, size: int) -> None:
        """Make sure that so many bytes are held. Raises as `InWork.take`."""
        if self.hold is not None and size > self.size:
            await self.hold.take(size - self.size)
            self.size = size

    def settle(self, size: int) -> None:
        """What the file came to in the end."""
        if self.hold is not None and size < self.size:
            self.hold.give_back(self.size - size)
            self.size = size
