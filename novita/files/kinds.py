"""The real format of a file, told from its first bytes, never from its name or from what a server claims.

Written by hand: libraries for it (filetype, puremagic) do not tell the brands of MP4 and HEIC apart.
"""

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["image", "video", "audio", "text", "file"]
Form = Literal["url", "data_uri", "base64", "asset_id"]
"""How a file is put into a request: as a link, as its content in text form, or as the id of an upload."""

HEAD_BYTES = 4096
"""How many of a file's first bytes `sniff` needs."""


@dataclass(frozen=True)
class MediaType:
    """A file format.

    Args:
        name: The name that limits of models use ("jpeg", "mp4").
        suffix: The suffix of such files, with its dot.
    """

    name: str
    mime: str
    suffix: str
    kind: Kind


_ROWS: tuple[tuple[str, str, str, Kind], ...] = (
    ("png", "image/png", ".png", "image"),
    ("jpeg", "image/jpeg", ".jpg", "image"),
    ("webp", "image/webp", ".webp", "image"),
    ("gif", "image/gif", ".gif", "image"),
    ("bmp", "image/bmp", ".bmp", "image"),
    ("tiff", "image/tiff", ".tiff", "image"),
    ("heic", "image/heic", ".heic", "image"),
    ("avif", "image/avif", ".avif", "image"),
    ("mp4", "video/mp4", ".mp4", "video"),
    ("mov", "video/quicktime", ".mov", "video"),
    ("webm", "video/webm", ".webm", "video"),
    ("mkv", "video/x-matroska", ".mkv", "video"),
    ("avi", "video/x-msvideo", ".avi", "video"),
    ("wav", "audio/wav", ".wav", "audio"),
    ("mp3", "audio/mpeg", ".mp3", "audio"),
    ("flac", "audio/flac", ".flac", "audio"),
    ("ogg", "audio/ogg", ".ogg", "audio"),
    ("opus", "audio/ogg", ".opus", "audio"),
    ("m4a", "audio/mp4", ".m4a", "audio"),
    ("aac", "audio/aac", ".aac", "audio"),
    ("amr", "audio/amr", ".amr", "audio"),
    ("aiff", "audio/aiff", ".aiff", "audio"),
    ("caf", "audio/x-caf", ".caf", "audio"),
    ("wma", "audio/x-ms-wma", ".wma", "audio"),
    ("au", "audio/basic", ".au", "audio"),
    ("rf64", "audio/x-rf64", ".wav", "audio"),  # WAV from recorders that run for hours
    ("wavpack", "audio/x-wavpack", ".wv", "audio"),
    ("pcm", "audio/pcm", ".pcm", "audio"),  # has no magic bytes, so it is known only when declared
    ("pdf", "application/pdf", ".pdf", "file"),
    ("zip", "application/zip", ".zip", "file"),
    ("npy", "application/x-npy", ".npy", "file"),
    ("svg", "image/svg+xml", ".svg", "text"),  # treated as text, since no model accepts drawings
    ("html", "text/html", ".html", "text"),
    ("xml", "application/xml", ".xml", "text"),
    ("json", "application/json", ".json", "text"),
    ("text", "text/plain", ".txt", "text"),
)

MEDIA_TYPES: dict[str, MediaType] = {row[0]: MediaType(*row) for row in _ROWS}

_NAMES = {
    "jpg": "jpeg",
    "tif": "tiff",
    "heif": "heic",
    "quicktime": "mov",
    "x-wav": "wav",
    "wave": "wav",
    "aif": "aiff",
    "x-aiff": "aiff",
    "amr-wb": "amr",
    "oga": "ogg",
    "mpeg": "mp3",
    "l16": "pcm",
    "txt": "text",
    "plain": "text",
    "svg+xml": "svg",
}


def media_type(name: str | None) -> MediaType | None:
    """The type for a format name, suffix or mime type in any usual spelling ("jpg", ".JPG", "image/jpeg; q=1")."""
    if not name:
        return None
    plain = name.split(";")[0].strip().casefold().lstrip(".")
    if plain in ("audio/mp4", "audio/x-m4a"):
        return MEDIA_TYPES["m4a"]
    short = plain.rpartition("/")[2]
    return MEDIA_TYPES.get(_NAMES.get(short, short))


_STARTS = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"fLaC", "flac"),
    (b"ID3", "mp3"),
    (b"#!AMR", "amr"),
    (b"caff", "caf"),
    (b".snd", "au"),
    (b"RF64", "rf64"),
    (b"wvpk", "wavpack"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "wma"),
    (b"%PDF-", "pdf"),
    (b"PK\x03\x04", "zip"),
    (b"\x93NUMPY", "npy"),
)

_BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "heic"),
    **dict.fromkeys((b"avif", b"avis"), "avif"),
    **dict.fromkeys((b"M4A ", b"M4B ", b"M4P "), "m4a"),
    b"qt  ": "mov",
}

_HTML = re.compile(rb"<(?:!doctype\s+html|html|head|body)[\s>]", re.IGNORECASE)


def sniff(head: bytes) -> MediaType | None:
    """The format that a file's first HEAD_BYTES bytes show, or all its bytes if it is shorter. None if unknown."""
    name = _by_start(head) or _container(head) or _frame(head) or _written(head)
    return MEDIA_TYPES[name] if name else None


def _by_start(head: bytes) -> str | None:
    for start, name in _STARTS:
        if head.startswith(start):
            return name
    # "BM" alone is too common a beginning, so the header size that follows must be one of the known sizes.
    if head.startswith(b"BM") and len(head) >= 18 and head[14] in (12, 40, 52, 56, 64, 108, 124) and head[15] == 0:
        return "bmp"
    return None


def _container(head: bytes) -> str | None:
    if head[:4] == b"RIFF":
        return {b"WEBP": "webp", b"WAVE": "wav", b"AVI ": "avi"}.get(head[8:12])
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return "aiff"
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        if brand == b"mif1" and b"avif" in head[16 : int.from_bytes(head[:4], "big")]:
            return "avif"
        return _BRANDS.get(brand, "mp4")
    if head[4:8] in (b"moov", b"mdat", b"wide", b"free") and int.from_bytes(head[:4], "big") >= 8:
        return "mov"  # old QuickTime files have no ftyp box
    if head[:4] == b"\x1aE\xdf\xa3":
        return "webm" if b"webm" in head[:64] else "mkv"
    if head[:4] == b"OggS":
        return "opus" if b"OpusHead" in head[:64] else "ogg"
    return None


_MP3_RATES = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_MP3_RATES_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)


def _frame(head: bytes) -> str | None:
    """MP3 or AAC without a container: it begins with a frame, and a second frame must follow where the first ends."""
    head = head.lstrip(b"\0")  # some encoders begin with an empty area
    if head.startswith(b"ID3"):
        return "mp3"
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    if head[1] & 0xF6 == 0xF0:
        length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
        return "aac" if length >= 7 and _follows(head, length) else None
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    rate, sampling = head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or layer != 1 or rate in (0, 15) or sampling == 3:
        return None
    hertz = (44100, 48000, 32000)[sampling] >> {3: 0, 2: 1, 0: 2}[version]
    samples, rates = (144, _MP3_RATES) if version == 3 else (72, _MP3_RATES_2)
    return "mp3" if _follows(head, samples * rates[rate] * 1000 // hertz + (head[2] >> 1 & 1)) else None


def _follows(head: bytes, at: int) -> bool:
    return at + 1 >= len(head) or (head[at] == 0xFF and head[at + 1] & 0xE0 == 0xE0)


def _eight_bit_text(head: bytes) -> bool:
    """Whether this may be text with one byte a letter (Latin-1), as Excel saves CSV: enough of it must be ASCII."""
    return sum(byte < 128 for byte in head) >= 0.3 * len(head)


def _written(head: bytes) -> str | None:
    """HTML, XML, JSON or plain text; None for bytes that are no text."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")):
        return "text"
    halves = head[::2], head[1::2]
    if len(head) > 3 and any(
        one.count(0) > len(head) // 4 and not other.count(0) for one, other in (halves, halves[::-1])
    ):
        return "text"  # UTF-16 without a byte order mark
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not start or any(byte < 9 or (13 < byte < 32 and byte != 27) for byte in head):
        return None
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        # The head may end in the middle of a letter; that is no fault.
        if error.reason != "unexpected end of data" and not _eight_bit_text(head):
            return None
    if start.startswith(b"<"):
        if _HTML.search(start[:1024]):
            return "html"
        if re.search(rb"<svg[\s>]", start[:1024]):
            return "svg"
        if re.match(rb"<(\?xml|[A-Za-z_][\w.\-]*[\s>/])", start):
            return "xml"
    if re.match(rb"[{\[]\s*[\"{\[\]}\d]", start):
        return "json"
    return "text"


def fits(expected: Kind, found: MediaType | None) -> bool:
    """Whether a finished file of the `expected` kind may have the format `found`.
    Some containers hold sound as well as pictures.
    """
    if expected == "file":
        return found is None or found.name not in ("html",)
    if found is None:
        return False
    if expected == "text":
        return found.kind == "text" and found.name != "html"
    if expected == "video":  # some video models make GIF or WebP animations
        return found.kind == "video" or found.name in ("gif", "webp")
    if expected == "audio":
        return found.kind == "audio" or found.name in ("mp4", "webm")
    return found.kind == expected
