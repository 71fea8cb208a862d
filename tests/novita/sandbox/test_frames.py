"""Streams are cut in time that grows with what comes; what is no frame and no line is an error."""

import json
import time
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from novita_mcp.novita.sandbox.frames import BrokenStreamError, FrameReader, LineReader, frame
from novita_mcp.novita.sandbox.output import HEAD, TAIL, Output

patient = settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is no fault of ours."""
MESSAGE = st.dictionaries(st.text(max_size=5), st.text(max_size=40), max_size=3)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[a:b] for a, b in pairwise(ends)]


@patient
@given(st.lists(MESSAGE, max_size=6), st.lists(st.integers(0, 10**6)))
def test_frames_come_out_as_they_went_in_however_they_are_cut(
    messages: list[dict[str, str]], places: list[int]
) -> None:
    reader = FrameReader()
    data = b"".join(frame(dict(message)) for message in messages) + b"\x02\0\0\0\x02{}"

    found = [one for piece in cut(data, places) for one in reader.feed(piece)]

    assert (found, reader.ended, reader.trailer) == (messages, True, {})


@patient
@given(st.lists(MESSAGE.filter(bool), max_size=6), st.lists(st.integers(0, 10**6)))
def test_lines_come_out_as_they_went_in_however_they_are_cut(messages: list[dict[str, str]], places: list[int]) -> None:
    reader = LineReader()
    data = b"".join(json.dumps(message).encode() + b"\n" for message in messages)

    assert [one for piece in cut(data, places) for one in reader.feed(piece)] == messages


@pytest.mark.parametrize(
    "data",
    [
        b"\x04\0\0\0\x02{}",
        b"\x01\0\0\0\x02{}",
        b"\0\xff\xff\xff\xff",
        b"\0\0\0\0\x02[]",
        b"\0\0\0\0\x01{",
        b"\x02\0\0\0\x02{}\0\0\0\0\x02{}",
        b"HTTP/1.1 502 Bad Gateway",
    ],
)
def test_what_is_no_frame_is_broken(data: bytes) -> None:
    with pytest.raises(BrokenStreamError):
        list(FrameReader().feed(data))


@pytest.mark.parametrize("data", [b"<html>\n", b"[1]\n", b'{"type": "resu\n'])
def test_what_is_no_line_is_broken(data: bytes) -> None:
    with pytest.raises(BrokenStreamError):
        list(LineReader().feed(data))


def test_sixty_four_megabytes_take_time_in_proportion() -> None:
    """Novita's own client takes 35 s for them: it appends to one text."""

    def seconds(pieces: int) -> float:
        reader, output = FrameReader(), Output(largest_file=2**20)
        piece = frame({"event": {"data": {"stdout": "x" * 32_768}}})
        started = time.process_time()
        for _ in range(pieces):
            for message in reader.feed(piece):
                output.add(message["event"]["data"]["stdout"])
        output.close()
        return time.process_time() - started

    small = seconds(256)
    assert seconds(2048) < 30 * max(small, 0.01)


def test_long_output_keeps_its_two_ends_and_a_file() -> None:
    output = Output()
    text = "".join(f"line {number}\n" for number in range(10_000))
    for start in range(0, len(text), 777):
        output.add(text[start : start + 777])
    output.finish()

    assert output.size == len(text)
    assert output.cut
    assert output.beginning == text[:HEAD]
    assert output.end == text[-TAIL:]
    assert output.whole() == text
    assert output.lost == 0
    output.close()


def test_output_beyond_its_file_is_counted_and_not_kept() -> None:
    output = Output(largest_file=50_000)
    for _ in range(100):
        output.add("x" * 1000)

    assert (output.size, len(output.whole()), output.lost) == (100_000, 50_000, 50_000)
    output.close()


@patient
@given(st.text(max_size=200), st.lists(st.integers(0, 10**4)))
def test_a_letter_cut_in_two_is_whole_again(text: str, places: list[int]) -> None:
    output = Output()
    for piece in cut(text.encode("utf-8", "replace"), places):
        output.add_bytes(piece)
    output.finish()

    assert output.whole() == text.encode("utf-8", "replace").decode()


def test_half_a_letter_at_the_end_is_told() -> None:
    output = Output()
    output.add_bytes("ab\N{PILE OF POO}".encode()[:-1])
    output.finish()

    assert output.whole() == "ab\N{REPLACEMENT CHARACTER}"
