"""Reads the bodies of all answers from outside.

We ask servers not to compress them. A body that is compressed all the same is unpacked one layer deep, up to a bound
on its size, and in a thread if it is large: two kilobytes of gzip within gzip can unpack to gigabytes of zeros.
"""

import math
import zlib
from collections.abc import AsyncGenerator
from contextlib import aclosing

import anyio
import anyio.to_thread
import httpx

AS_IT_IS = {"Accept-Encoding": "identity"}
"""The header that asks for an uncompressed body."""

_PIECE = 64 * 1024
"""Bytes that are unpacked at once on the event loop, about half a millisecond of work."""
_LARGE_PIECE = 1024 * 1024
_WINDOWS = {"gzip": (zlib.MAX_WBITS | 16,), "deflate": (zlib.MAX_WBITS, -zlib.MAX_WBITS)}


class BodyError(Exception):
    """The body cannot be read; the text says why."""


class BodyTooLargeError(BodyError):
    """It is larger than allowed."""


class BodyCutError(BodyError):
    """It ended in the middle."""


SLOWEST = 8 * 1024
"""The lowest average rate, in bytes a second, at which a body may arrive before it is given up."""


async def read_body(response: httpx.Response, *, most: int, patience: float = math.inf) -> bytes:
    """The whole body.

    Args:
        patience: Seconds within which it must end, plus one for each `SLOWEST` bytes received.

    Raises:
        BodyError: It has more than `most` bytes, or is compressed in an unknown way.
        httpx.ReadTimeout: It came too slowly. (httpx's own timeouts bound only the silence between two bytes.)
    """
    whole = bytearray()
    started = anyio.current_time()
    with anyio.CancelScope(deadline=started + patience) as scope:
        async with aclosing(body_pieces(response, most=most)) as pieces:
            async for piece in pieces:
                whole += piece
                scope.deadline = started + patience + len(whole) / SLOWEST
            return bytes(whole)
    raise httpx.ReadTimeout("its answer comes too slowly")


async def body_pieces(response: httpx.Response, *, most: int) -> AsyncGenerator[bytes]:
    """The body piece by piece, as it comes.

    Raises:
        BodyError: As `read_body`, after the pieces before the fault.
    """
    if response.is_stream_consumed:  # made in memory, as transports without sockets do
        if len(response.content) > most:
            raise BodyTooLargeError(f"larger than {most} bytes")
        yield response.content
        return
    unpack = _unpacker(response.headers)
    size = came = 0
    async for raw in response.aiter_raw():
        came += len(raw)
        if came > most:
            raise BodyTooLargeError(f"larger than {most} bytes")
        if unpack is None:
            yield raw
            continue
        async for piece in _unpacked(unpack, raw):
            size += len(piece)
            if size > most:
                raise BodyTooLargeError(f"larger than {most} bytes when unpacked")
            yield piece
    if unpack is not None and came and not unpack.ended:
        raise BodyCutError("the packed body ended in the middle")


async def _unpacked(unpack: "_Unpacker", raw: bytes) -> AsyncGenerator[bytes]:
    piece = unpack.feed(raw, _PIECE)
    while piece:
        yield piece
        if not unpack.waiting:
            return
        piece = await anyio.to_thread.run_sync(unpack.feed, b"", _LARGE_PIECE)


_NOT_PACKED = frozenset(["", "identity", "none", "binary", "utf-8", "utf8", "aws-chunked"])
"""Values of Content-Encoding that servers send with uncompressed bodies: S3 with uploads, frameworks with a charset."""


def _unpacker(headers: httpx.Headers) -> "_Unpacker | None":
    layers = [layer.strip().lower() for layer in headers.get("content-encoding", "").split(",")]
    layers = [layer.removeprefix("x-") for layer in layers if layer not in _NOT_PACKED]
    if len(layers) > 1:
        raise BodyError(f"packed {len(layers)} times over")
    if layers and layers[0] not in _WINDOWS:
        raise BodyError(f"packed as {layers[0][:20]}, which nobody asked for")
    return _Unpacker(layers[0]) if layers else None


class _Unpacker:
    """Undoes one layer of gzip or deflate, and never gives more bytes at a time than asked for."""

    def __init__(self, kind: str) -> None:
        self._windows = list(_WINDOWS[kind])
        self._inner = zlib.decompressobj(self._windows.pop(0))
        self._many = kind == "gzip"  # gzip may be several one after the other
        self._rest: bytes = b""
        self._begun = False
        self.ended = False

    @property
    def waiting(self) -> bool:
        """Whether it can give more bytes without further input."""
        return bool(self._rest)

    def feed(self, raw: bytes, most: int) -> bytes:
        """Unpack what was left over and `raw`, up to `most` bytes."""
        left: bytes = self._rest + raw
        self._rest = made = b""
        while left and not made:
            if self.ended:
                if not self._many or not left.strip(b"\0"):
                    return b""  # padding, which is allowed
                self._inner, self.ended, self._begun = zlib.decompressobj(zlib.MAX_WBITS | 16), False, False
            made = self._step(left, most)
            left = self._inner.unused_data if self._inner.eof else self._inner.unconsumed_tail
            self.ended = self._inner.eof
        self._rest = left
        return made

    def _step(self, raw: bytes, most: int) -> bytes:
        try:
            made = self._inner.decompress(raw, most)
        except zlib.error as error:
            if self._begun or not self._windows:
                raise BodyError("packed in a way that cannot be read") from error
            # "deflate" has two meanings, and servers use both.
            self._inner = zlib.decompressobj(self._windows.pop(0))
            return self._step(raw, most)
        self._begun = True
        return made
