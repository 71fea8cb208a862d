"""Files as people really have them, made here: photos of phones, cut downloads, voice notes, odd masks."""

import io
import struct
import wave
import zlib
from pathlib import Path
from typing import Any, cast

from PIL import Image, ImageDraw


def scene(size: tuple[int, int] = (640, 480), mode: str = "RGB") -> Image.Image:
    """A picture with a bright upper left corner, so that one can tell how it is turned."""
    picture = Image.effect_noise(size, 60).convert("RGB")
    ImageDraw.Draw(picture).rectangle((0, 0, size[0] // 4, size[1] // 4), fill=(255, 250, 240))
    return picture.convert(mode)


def saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    """A picture as a file."""
    sink = io.BytesIO()
    picture.save(sink, kind, **options)
    return sink.getvalue()


def private_exif(orientation: int = 1) -> Image.Exif:
    """What a phone notes: where, when, with what, by whom."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "SecretPhones"
    exif[0x013B] = "Ada Secret"
    gps = exif.get_ifd(0x8825)
    gps.update({1: "N", 2: (48.0, 51.0, 29.6), 3: "E", 4: (2.0, 17.0, 40.2), 29: "2026:09:04", 27: b"Secret place"})
    exif.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0Secret remark"
    return exif


PRIVATE_WORD = b"Secret"
"""In everything private that is written here."""

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><dc:creator>Ada Secret</dc:creator></rdf:RDF></x:xmpmeta>'


def photo(size: tuple[int, int] = (1200, 800), *, orientation: int = 1, kind: str = "JPEG", **options: Any) -> bytes:
    """A photo with its camera's notes. `size` is how the pixels lie; 5 to 8 show it the other way round."""
    more: dict[str, Any] = {"exif": private_exif(orientation).tobytes(), **options}
    if kind in ("JPEG", "WEBP"):
        more["xmp"] = XMP
    if kind == "JPEG":
        more["comment"] = b"Secret comment"
    if kind == "PNG":
        from PIL.PngImagePlugin import PngInfo

        notes = PngInfo()
        notes.add_text("parameters", "Secret prompt, masterpiece")
        notes.add_itxt("XML:com.adobe.xmp", XMP.decode())
        more["pnginfo"] = notes
    return saved(scene(size), kind, **more)


def cut_jpeg() -> bytes:
    """The first 4,000 bytes of a JPEG of 640x480."""
    return saved(scene(), "JPEG", quality=40)[:4_000]


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def _full(kind: bytes, body: bytes, flags: int = 0, version: int = 0) -> bytes:
    return _box(kind, struct.pack(">I", version << 24 | flags) + body)


def heic(size: tuple[int, int] = (640, 480), *, turn: int = 0) -> bytes:
    """A photo as an iPhone writes it: one HEVC frame in a HEIF container.

    Args:
        turn: Quarter turns anti-clockwise that the container asks for.
    """
    import av

    film = io.BytesIO()
    output: Any
    with av.open(film, "w", format="mov") as output:
        options = {"x265-params": "log-level=none:bframes=0", "preset": "ultrafast"}
        stream: Any = output.add_stream("libx265", rate=1, options=options)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        output.mux(stream.encode(cast(Any, av.VideoFrame).from_image(scene(size))))
        output.mux(stream.encode(None))
    mp4 = film.getvalue()
    at = mp4.index(b"hvcC") - 4
    hvcc = mp4[at : at + struct.unpack_from(">I", mp4, at)[0]]
    with av.open(io.BytesIO(mp4), "r") as again:
        frame = next(bytes(packet) for packet in again.demux(video=0) if packet.size)

    def container(start: int) -> bytes:
        infe = _full(b"infe", struct.pack(">HH4s", 1, 0, b"hvc1") + b"\0", version=2)
        turned = [_box(b"irot", bytes([turn]))] if turn else []
        properties = [hvcc, _full(b"ispe", struct.pack(">II", *size)), *turned]
        links = struct.pack(">IHB", 1, 1, len(properties)) + bytes([0x81, *range(2, len(properties) + 1)])
        meta = _full(
            b"meta",
            _full(b"hdlr", b"\0\0\0\0pict" + bytes(12) + b"\0")
            + _full(b"pitm", struct.pack(">H", 1))
            + _full(b"iloc", struct.pack(">BBHHHHII", 0x44, 0, 1, 1, 0, 1, start, len(frame)))
            + _full(b"iinf", struct.pack(">H", 1) + infe)
            + _box(b"iprp", _box(b"ipco", b"".join(properties)) + _full(b"ipma", links)),
        )
        return _box(b"ftyp", b"heic\0\0\0\0mif1heic") + meta

    return container(len(container(0)) + 8) + _box(b"mdat", frame)


def png_bomb(side: int = 20_000) -> bytes:
    """A black PNG of a few kilobytes that unpacks to gigabytes."""
    packer, rows = zlib.compressobj(9), 1 + side * 4
    body = b"".join(packer.compress(bytes(rows * 100)) for _ in range(side // 100)) + packer.flush()

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def wav(seconds: float, *, rate: int = 16_000, loud: bool = True) -> bytes:
    """A WAV file: a hum, or silence."""
    sink = io.BytesIO()
    with wave.open(sink, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        period = struct.pack("<16h", *([8_000] * 8 + [-8_000] * 8)) if loud else bytes(32)
        sound.writeframes(period * (int(seconds * rate) // 16))
    return sink.getvalue()


SOUND_KINDS = {
    "opus": ("ogg", "libopus", 48_000),
    "ogg": ("ogg", "flac", 16_000),
    "m4a": ("ipod", "aac", 44_100),
    "flac": ("flac", "flac", 16_000),
    "aac": ("adts", "aac", 44_100),
    "3gp": ("3gp", "libopencore_amrnb", 8_000),
    "amr": ("amr", "libopencore_amrnb", 8_000),
    "aiff": ("aiff", "pcm_s16be", 16_000),
    "caf": ("caf", "pcm_s16le", 16_000),
    "wma": ("asf", "wmav2", 44_100),
    "au": ("au", "pcm_s16be", 16_000),
    "wv": ("wv", "wavpack", 44_100),
    "webm": ("webm", "libopus", 48_000),
}
"""Suffix, and what ffmpeg needs to know to write it."""


def sound_as(kind: str, source: bytes) -> bytes:
    """A WAV file in another format, as phones and messengers write it."""
    import av

    container, codec, rate = SOUND_KINDS[kind]
    sink = io.BytesIO()
    output: Any
    with av.open(io.BytesIO(source), "r") as given, av.open(sink, "w", format=container) as output:
        stream: Any = output.add_stream(codec, rate=rate, layout="mono")
        stream.bit_rate = 64_000
        stream.codec_context.open()
        resampler = av.AudioResampler(format=stream.format, layout="mono", rate=rate, frame_size=stream.frame_size)
        for frame in (*given.decode(audio=0), None):
            for part in resampler.resample(frame):
                output.mux(stream.encode(part))
        output.mux(stream.encode(None))
    return sink.getvalue()


def put(folder: Path, name: str, data: bytes) -> str:
    """A file with this content; its path."""
    path = folder / name
    path.write_bytes(data)
    return str(path)
