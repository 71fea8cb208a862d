"""Formats are told from first bytes of real files, and text is never taken for media."""

import gzip
import io
import wave

import pytest
from novita_mcp.novita.files.kinds import HEAD_BYTES, Kind, fits, media_type, sniff
from PIL import Image

from ..conftest import PICTURE_KINDS, draw, encode, tone


def name(head: bytes) -> str | None:
    found = sniff(head[:HEAD_BYTES])
    return found.name if found else None


@pytest.mark.parametrize("kind", PICTURE_KINDS)
def test_pictures_pillow_writes_are_known(kind: str) -> None:
    assert name(draw(kind=kind)) == kind.lower()


@pytest.mark.parametrize(
    ("container", "codec", "expected"),
    [
        ("mp4", "mpeg4", "mp4"),
        ("mov", "mpeg4", "mov"),
        ("webm", "libvpx", "webm"),
        ("matroska", "mpeg4", "mkv"),
        ("avi", "mpeg4", "avi"),
        ("mp3", "libmp3lame", "mp3"),
        ("flac", "flac", "flac"),
        ("ogg", "libopus", "opus"),
        ("adts", "aac", "aac"),
        ("ipod", "aac", "m4a"),
        ("wav", "pcm_s16le", "wav"),
    ],
)
def test_clips_and_sounds_ffmpeg_writes_are_known(container: str, codec: str, expected: str) -> None:
    assert name(encode(container, codec)) == expected


def test_mp3_without_a_tag_is_known_by_its_frames() -> None:
    bare = encode("mp3", "libmp3lame", id3v2_version="0", write_xing="0")
    assert name(bare) == name(bytes(500) + bare) == name(bytes(500) + encode("mp3", "libmp3lame")) == "mp3"
    assert name(bytes(HEAD_BYTES)) is None


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"<!DOCTYPE html>\n<html>", "html"),
        (b"\n  <html lang='en'><head>", "html"),
        (b"\xef\xbb\xbf<html >", "html"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "xml"),
        (b"<Error><Code>AccessDenied</Code></Error>", "xml"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'>", "svg"),
        (b'{"error": "expired"}', "json"),
        (b"[1, 2]", "json"),
        (b"[note] a line", "text"),
        (b"BM is how this sentence begins", "text"),
        ("Grüße aus dem Schnee".encode(), "text"),
        (("é" * HEAD_BYTES).encode()[: HEAD_BYTES - 1], "text"),  # the last letter is cut in half
        (b"%PDF-1.7", "pdf"),
        (b"RIFF\x10\0\0\0ABCD", None),
        (b"\x00\x01\x02\x03", None),
        (b"\xff\xfb", None),
        (b"\xff\xfb\x90\x64" + bytes(500), None),  # one frame header, but no second where it should be
        (gzip.compress(b"text", mtime=0), None),
        (b"", None),
    ],
)
def test_what_is_written_is_told_from_what_is_not(head: bytes, expected: str | None) -> None:
    assert name(head) == expected


def test_avif_in_the_general_picture_container_is_known() -> None:
    assert name(b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf") == "avif"
    assert name(b"\0\0\0\x1cftypmif1\0\0\0\0mif1heicmiaf") == "heic"


@pytest.mark.parametrize(
    ("spelling", "expected"),
    [
        (".JPG", "jpeg"),
        ("jpg", "jpeg"),
        ("image/jpeg; charset=binary", "jpeg"),
        ("audio/mpeg", "mp3"),
        ("audio/x-wav", "wav"),
        ("audio/mp4", "m4a"),
        ("video/mp4", "mp4"),
        ("video/quicktime", "mov"),
        ("text/plain", "text"),
        ("application/octet-stream", None),
        ("", None),
        (None, None),
    ],
)
def test_types_are_found_in_their_usual_spellings(spelling: str | None, expected: str | None) -> None:
    found = media_type(spelling)
    assert (found.name if found else None) == expected


@pytest.mark.parametrize(
    ("expected", "head", "verdict"),
    [
        ("image", draw(), True),
        ("image", tone(0.1), False),
        ("image", b"<html>", False),
        ("video", draw(kind="GIF"), True),
        ("video", draw(), False),
        ("audio", tone(0.1), True),
        ("audio", b"\0\0\0\x20ftypisom" + bytes(40), True),
        ("text", b"hello", True),
        ("text", b"<html>", False),
        ("file", b"\x00\x01", True),
    ],
)
def test_a_result_may_be_what_its_kind_allows(expected: Kind, head: bytes, verdict: bool) -> None:
    assert fits(expected, sniff(head[:HEAD_BYTES])) is verdict


def test_the_fixtures_are_what_they_say() -> None:
    assert Image.open(io.BytesIO(draw(10, 20))).size == (10, 20)
    with wave.open(io.BytesIO(tone(0.5))) as sound:
        assert sound.getnframes() == 4000
