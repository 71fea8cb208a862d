"""Pictures, clips and sounds read without decoding: whether a file is whole, and which parts of it are private.

Cameras write where and with what a picture was taken; programs write who edited it and from what prompt. The user did
not mean to hand that over, so it is cut out. Colour profiles stay, since pictures need them; pixels are not touched.
"""

import re
import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from .kinds import MediaType


class CutError(ValueError):
    """The file ends before it should."""


def without_private_parts(data: bytes, found: MediaType) -> bytes:
    """A JPEG, PNG, WebP or GIF without place, camera, comments and prompts.

    A file that holds none of these, or has another format, is returned as it is (the same object).

    Raises:
        CutError: The file ends too early.
    """
    walk = {"jpeg": _jpeg, "png": _png, "webp": _webp, "gif": _gif}.get(found.name)
    if walk is None:
        return data
    try:
        kept = walk(data)
    except (IndexError, struct.error) as error:
        raise CutError(f"{found.name} ends in the middle of a part") from error
    return data if len(kept) == len(data) else kept


_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD8)})  # markers without a length
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # inside a scan stuffed bytes and restarts are no markers


def _jpeg(data: bytes) -> bytes:
    """A JPEG with only its JFIF, colour profile and Adobe colour transform. All after the first picture is cut off."""
    kept, at = [data[:2]], 2
    while True:
        while data[at] == 0xFF and data[at + 1] == 0xFF:  # fill bytes
            at += 1
        if data[at] != 0xFF:
            raise CutError("a marker is missing")
        marker = data[at + 1]
        if marker == 0xD9:
            kept.append(data[at : at + 2])
            return b"".join(kept)
        if marker in _JPEG_BARE:
            at += 2
            continue
        end = at + 2 + struct.unpack_from(">H", data, at + 2)[0]
        if end > len(data):
            raise CutError("a segment is longer than the file")
        body = data[at + 4 : at + 20]
        private = marker == 0xFE or (0xE0 <= marker <= 0xEF and not _says_how_to_show(marker, body))
        if not private:
            kept.append(data[at:end])
        at = end
        if marker == 0xDA:
            found = _JPEG_MARKER.search(data, at)
            if found is None:
                raise CutError("the picture data has no end")
            kept.append(data[at : found.start()])
            at = found.start()


def _says_how_to_show(marker: int, body: bytes) -> bool:
    return (
        (marker == 0xE0 and body.startswith(b"JFIF"))
        or (marker == 0xE2 and body.startswith(b"ICC_PROFILE"))
        or (marker == 0xEE and body.startswith(b"Adobe"))
    )


_PNG_PRIVATE = frozenset({b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"tIME"})


def _png(data: bytes) -> bytes:
    kept, at = [data[:8]], 8
    while True:
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            raise CutError("a chunk is longer than the file")
        if kind not in _PNG_PRIVATE:
            if zlib.crc32(data[at + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
                raise CutError("a chunk does not match its checksum")
            kept.append(data[at:end])
        at = end
        if kind == b"IEND":
            return b"".join(kept)


def _webp(data: bytes) -> bytes:
    total = struct.unpack_from("<I", data, 4)[0] + 8
    if total > len(data):
        raise CutError("it is shorter than it says")
    chunks: list[bytes] = []
    at, private = 12, False
    while at + 8 <= total:
        kind, length = struct.unpack_from("<4sI", data, at)
        end = at + 8 + length + (length & 1)
        if end > total + (length & 1):
            raise CutError("a chunk is longer than the file")
        if kind in (b"EXIF", b"XMP "):
            private = True
        else:
            chunks.append(data[at:end])
        at = end
    if not private:
        return data
    if chunks and chunks[0].startswith(b"VP8X"):
        head = bytearray(chunks[0])
        head[8] &= ~0x0C  # clear the flags that announce EXIF and XMP, which were cut out
        chunks[0] = bytes(head)
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


_GIF_LOOPS = (b"NETSCAPE2.0", b"ANIMEXTS1.0")


def _gif(data: bytes) -> bytes:
    flags = data[10]
    at = 13 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)
    kept = [data[:at]]
    while data[at] != 0x3B:
        begun = at
        private = False
        if data[at] == 0x21:
            label = data[at + 1]
            private = label == 0xFE or (label == 0xFF and data[at + 3 : at + 14] not in _GIF_LOOPS)
            at += 2
        elif data[at] == 0x2C:
            flags = data[at + 9]
            at += 11 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)
        else:
            raise CutError("an unknown block")
        while data[at]:
            at += data[at] + 1
        at += 1
        if not private:
            kept.append(data[begun:at])
    return b"".join((*kept, b"\x3b"))


def is_whole(source: bytes | Path, found: MediaType | None) -> bool:
    """Whether a clip, a sound or a WebP ends where its container says. True for formats that do not say."""
    if found is None:
        return True
    with BytesIO(source) if isinstance(source, bytes) else source.open("rb") as handle:
        size = handle.seek(0, 2)
        handle.seek(0)
        if found.name in ("webp", "wav", "avi"):
            claimed = int.from_bytes(handle.read(8)[4:], "little")
            # WAV files that were streamed claim the largest length, or none.
            return claimed + 8 <= size or claimed >= 0x7FFFFF00
        if found.name in ("mp4", "mov", "m4a", "avif", "heic"):
            return _boxes_end(handle, size)
    return True


def _boxes_end(handle: BinaryIO, size: int) -> bool:
    """Whether the outermost boxes of an MP4 end exactly at the end of the file."""
    at = 0
    while at < size:
        handle.seek(at)
        head = handle.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        elif length == 0:
            return True
        if length < 8:
            return False
        at += length
    return at == size
