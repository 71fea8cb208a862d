"""How much a world remembers. The oldest entries are dropped first, so that a long run does not fill the memory."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")

MB = 1_000_000


@dataclass(frozen=True)
class Bounds:
    """How many entries, or bytes, a world keeps of each kind. It never drops what has not ended yet."""

    requests: int = 1000
    request_bytes: int = 64 * MB
    """All remembered request bodies together, in bytes as they arrived."""
    charges: int = 20_000
    """Older charges are added up by hour, operation and account, so the totals stay exact."""
    tasks: int = 2000
    files: int = 2000
    file_bytes: int = 256 * MB
    """All finished files together. A link to a dropped file answers 404, as if Novita had cleaned it up."""
    upload_bytes: int = 64 * MB
    records: int = 2000
    """Everything else, each kind by itself: webhook deliveries, streams, and ended batches, jobs and machines."""


class Kept(dict[K, V]):
    """A dict that forgets its oldest entries above `most`, or above `most_bytes` of what `size` counts.

    Only entries for which `over` is true are forgotten, and never the newest. `forgotten` is called with each.
    """

    def __init__(
        self,
        most: int,
        *,
        most_bytes: int | None = None,
        size: Callable[[V], int] = lambda _: 0,
        over: Callable[[V], bool] = lambda _: True,
        forgotten: Callable[[V], object] = lambda _: None,
    ) -> None:
        super().__init__()
        self._most, self._most_bytes = most, most_bytes
        self._size, self._over, self._forgotten = size, over, forgotten

    @property
    def bytes(self) -> int:
        return sum(self._size(value) for value in self.values())

    def __setitem__(self, key: K, value: V) -> None:
        super().__setitem__(key, value)
        self.trim()

    def trim(self) -> None:
        """Forget the oldest entries above the limits. Call it after an entry has grown."""
        entries = len(self) - self._most
        excess = self.bytes - self._most_bytes if self._most_bytes is not None else 0
        if entries <= 0 and excess <= 0:
            return
        for key, value in list(self.items())[:-1]:
            if entries <= 0 and excess <= 0:
                return
            if self._over(value):
                entries, excess = entries - 1, excess - self._size(value)
                del self[key]
                self._forgotten(value)
