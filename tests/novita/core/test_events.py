"""Server-sent events: one reader for words and sound, whatever the pieces they come in."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from novita_mcp.novita.core.events import EventReader, LineTooLongError, events_of

STREAM = (
    ': hello\r\n\r\nevent: delta\r\ndata: {"a":\r\n: still here\r\ndata: 1}\r\n\r\n'
    'data:{"b": "\u2028"}\n\ndata\ndata: x\n\rdata: {"c": 1}\rdata: {"d": 2}\r\rid: 7\nretry: 5\ndata: [DONE]\n\n'
).encode()
EVENTS = [
    ("delta", '{"a":\n1}'),
    ("", '{"b": "\u2028"}'),
    ("", "\nx"),
    ("", '{"c": 1}'),
    ("", '{"d": 2}'),
    ("", "[DONE]"),
]


@given(st.lists(st.integers(0, len(STREAM)), max_size=6))
def test_events_are_the_same_wherever_the_stream_is_cut(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(STREAM)]
    reader = EventReader()
    found = [event for a, b in itertools.pairwise(places) for event in reader.feed(STREAM[a:b])]
    found += reader.finish()

    assert [(event.name, event.data) for event in found] == EVENTS
    assert [event.is_end for event in found] == [False] * 5 + [True]


def test_what_is_no_stream_is_one_event_with_a_name_of_its_own() -> None:
    whole = list(events_of(b'{"error":\n "gone"}'))
    after = list(events_of(b'data: 1\n\n{"error": "gone"}'))

    assert [(event.name, event.data) for event in whole] == [("body", '{"error":\n "gone"}')]
    assert [(event.name, event.data) for event in after] == [("", "1"), ("", '{"error": "gone"}')]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"caf\xe9", "café"),
        (b"\xfcber se\xf1or", "über señor"),
        ("café".encode(), "café"),
        (b"fox \xf0\x9f\x98", "fox \ufffd"),
        (b"caf\xe9 \xe2\x82\xac", "caf\ufffd €"),
        (b"\xff\xfe", "\ufffd\ufffd"),
    ],
)
def test_western_letters_of_another_encoding_are_read_and_cut_characters_are_not(line: bytes, text: str) -> None:
    assert [event.data for event in events_of(b"data: " + line + b"\n\n")] == [text]


def test_a_line_without_an_end_is_given_up() -> None:
    reader = EventReader()
    with pytest.raises(LineTooLongError):
        for _ in range(6):
            list(reader.feed(b"x" * 2**20))
