"""Opening pictures that strangers hand in: by their header first, and decoded only within a budget.

A few kilobytes can unpack to gigabytes. So the header is read first and says how large the picture will be, a picture
beyond the budget is never decoded, and the memory for pictures being decoded in all threads together is bounded.
"""

import importlib
import struct
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import anyio
import anyio.to_thread

from ..core.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

T = TypeVar("T")
MIB = 2**20

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF")
"""The only formats that are decoded. Pillow knows many more, and runs other programs for some of them."""

UNREADABLE = (
    *(OSError, ValueError, SyntaxError, EOFError, ArithmeticError, LookupError, TypeError, RuntimeError, struct.error),
    *(MemoryError, Warning),
)
"""What Pillow raises on damaged files, depending on the format. It also warns, and a filter may raise its warnings."""

_HELD_BYTES = {"WEBP": 16, "HEIF": 9, "AVIF": 9}
"""Bytes of memory per pixel while decoding, for the formats that need more than four: they keep planes and copies."""


class TooManyPixelsError(ValueError):
    """The picture is too large to be decoded here. The text says how large it is."""


@cache
def readable_formats() -> tuple[str, ...]:
    """Those of FORMATS that this installation can read: HEIC needs pi-heif, AVIF needs a newer Pillow."""
    from PIL import Image

    Image.preinit()  # BMP, GIF, JPEG and PNG; init() would load all formats that Pillow knows, which takes its time
    importlib.import_module("PIL.TiffImagePlugin")
    importlib.import_module("PIL.WebPImagePlugin")
    with suppress(ImportError):
        importlib.import_module("PIL.AvifImagePlugin")
    with suppress(ImportError):
        importlib.import_module("pi_heif").register_heif_opener()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def open_header(source: bytes | Path) -> "Image":
    """The picture with only its header read.

    Raises:
        TooManyPixelsError: Decoding it would need more memory than the whole budget.
        Others of UNREADABLE: The data is no picture.
    """
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None  # Pillow would warn below its limit, on stderr; the limit is kept here
    picture = Image.open(BytesIO(source) if isinstance(source, bytes) else source, formats=readable_formats())
    if picture.width * picture.height > 2 * BUDGET.total:
        raise TooManyPixelsError("it has more pixels than any picture should")
    return picture


def open_picture(source: bytes | Path) -> "Image | None":
    """The picture with only its header read. None if the data is no readable picture, or is absurdly large."""
    try:
        return open_header(source)
    except UNREADABLE:
        return None


def decoded_bytes(picture: "Image", scale: int = 1) -> int:
    """The most memory that decoding a picture takes, reckoned from its header.

    Args:
        scale: By how much a JPEG is decoded smaller, as `drafted` tells.
    """
    width, height = picture.size
    pixels = width * height
    held = pixels * _HELD_BYTES.get(picture.format or "", 4) // scale**2
    if picture.info.get("progressive"):  # the whole picture's coefficients are kept until the last scan
        held += pixels * 2 * len(picture.getbands())
    return held


class DecodingBudget:
    """How much memory may be in use for decoding at one time, by all callers together and by each.

    A caller that decodes nothing yet may take the whole budget. A caller that already decodes something may hold at
    most half of it, so that nobody keeps the others waiting with many pictures at once. Threads may share this object.
    A thread keeps its share until its work ends, even when its caller has been cancelled.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.most_held = 0
        """The most memory that was ever in use at one time; tests read it."""
        self._held: Counter[str] = Counter()
        self._queue: list[_DecodingTicket] = []
        self._lock = threading.Lock()

    @property
    def held(self) -> int:
        return sum(self._held.values())

    def check(self, size: int, name: str) -> None:
        """Refuse work that can never fit.

        Raises:
            InputError: `size` is larger than the whole budget.
        """
        if size > self.total:
            raise InputError(
                f"{name} is too large to be worked on here: decoded it takes {size / MIB:.0f} MiB, and "
                f"{self.total / MIB:.0f} MiB is the most",
                next_step="Give a smaller picture.",
            )

    async def run(self, work: Callable[[], T], size: int, *, caller: str = "", name: str = "The picture") -> T:
        """Run `work` in a thread once so many bytes are free for the caller, in the order asked.

        Raises:
            InputError: As `check`.
        """
        self.check(size, name)
        if size == 0:
            return await anyio.to_thread.run_sync(work, abandon_on_cancel=True)
        ticket = _DecodingTicket(self, caller, size)
        await self._wait(ticket)

        def go() -> T:
            ticket.begun = True
            try:
                return work()
            finally:
                ticket.give_back()

        try:
            return await anyio.to_thread.run_sync(go, abandon_on_cancel=True)
        finally:
            if not ticket.begun:
                ticket.give_back()

    async def _wait(self, ticket: "_DecodingTicket") -> None:
        self._queue.append(ticket)
        try:
            # Waits by looking again, since a thread that returns its share may belong to no event loop any more.
            while not self._take(ticket):  # noqa: ASYNC110
                await anyio.sleep(0.01)
        finally:
            self._queue.remove(ticket)

    def _take(self, ticket: "_DecodingTicket") -> bool:
        with self._lock:
            own, size = self._held[ticket.caller], ticket.size
            if self.held + size > self.total or (own and own + size > self.total // 2):
                return False
            ahead = self._queue[: self._queue.index(ticket)]
            if any(other.caller == ticket.caller or not self._held[other.caller] for other in ahead):
                return False  # tickets ahead come first, unless their callers wait only for their own work to end
            self._held[ticket.caller] += size
            self.most_held = max(self.most_held, self.held)
            return True

    def give_back(self, caller: str, size: int) -> None:
        with self._lock:
            self._held[caller] -= size
            if not self._held[caller]:
                del self._held[caller]


@dataclass(eq=False)
class _DecodingTicket:
    budget: DecodingBudget
    caller: str
    size: int
    begun: bool = False
    _given: bool = False

    def give_back(self) -> None:
        if not self._given:
            self._given = True
            self.budget.give_back(self.caller, self.size)


BUDGET = DecodingBudget(400 * MIB)
"""The one budget that everything in this process shares."""
