"""What a program writes, kept within bounds: the first and the last part here, all of it in a file of bounded size."""

import codecs
import tempfile
from collections import deque
from dataclasses import dataclass, field
from typing import IO

HEAD = 12_000
TAIL = 12_000
LARGEST_FILE = 32 * 2**20


@dataclass
class Output:
    """One stream of a program, as text. A letter cut between two pieces is whole again.

    Args:
        largest_file: Bytes of it that are kept in the file; what is beyond is counted only.
    """

    largest_file: int = LARGEST_FILE
    size: int = 0
    """How many letters have come so far."""
    kept: int = 0
    """How many letters are in the file."""
    _head: list[str] = field(default_factory=list[str])
    _headed: int = 0
    _tail: deque[str] = field(default_factory=deque[str])
    _tailed: int = 0
    _file: IO[str] | None = None

    def __post_init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def add_bytes(self, data: bytes) -> None:
        self.add(self._decoder.decode(data))

    def add(self, text: str) -> None:
        if not text:
            return
        self.size += len(text)
        self._keep(text)
        rest = text
        if self._headed < HEAD:
            taken, rest = rest[: HEAD - self._headed], rest[HEAD - self._headed :]
            self._head.append(taken)
            self._headed += len(taken)
        if rest:
            self._tail.append(rest)
            self._tailed += len(rest)
            while self._tailed - len(self._tail[0]) >= TAIL:
                self._tailed -= len(self._tail.popleft())

    def _keep(self, text: str) -> None:
        """In a file from the moment that the beginning and the end do not hold all of it."""
        if self._file is None:
            if self.size <= HEAD + TAIL:
                return
            # Spooled to disk beyond a megabyte; closed with this object.
            self._file = tempfile.SpooledTemporaryFile(2**20, "w+", encoding="utf-8", newline="")  # noqa: SIM115
            before = "".join(self._head) + "".join(self._tail)
            self._file.write(before)
            self.kept = len(before)
        room = self.largest_file - self.kept
        if room > 0:
            self._file.write(text[:room])
            self.kept += min(room, len(text))

    def finish(self) -> None:
        """Mark the end. Half a letter at the end becomes U+FFFD."""
        self.add(self._decoder.decode(b"", True))

    @property
    def cut(self) -> bool:
        """Whether the beginning and the end do not hold all of it."""
        return self.size > HEAD + TAIL

    @property
    def beginning(self) -> str:
        return "".join(self._head)

    @property
    def end(self) -> str:
        """The last part, without what `beginning` has."""
        return "".join(self._tail)[-TAIL:] if self.cut else "".join(self._tail)

    @property
    def lost(self) -> int:
        """How many letters were dropped."""
        return max(0, self.size - self.kept) if self._file is not None else 0

    @property
    def last_line(self) -> str:
        """The last line that is not empty, for a sign of life. Long enough that a secret at its end is whole."""
        text = (self.beginning if not self._tail else "".join(self._tail))[-4_000:].rstrip()
        return text.rpartition("\n")[2]

    def whole(self) -> str:
        """Everything that was kept."""
        if self._file is None:
            return self.beginning + "".join(self._tail)
        self._file.seek(0)
        try:
            return self._file.read()
        finally:
            self._file.seek(0, 2)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
