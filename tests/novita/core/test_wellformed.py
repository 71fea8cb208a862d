"""Half an emoji, in whatever form it comes, is joined or replaced, and nothing else is touched."""

import json
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from novita_mcp.novita.core.json_text import read_json, well_formed_json
from novita_mcp.novita.core.wellformed import well_formed, well_formed_text_of_json

ANY_TEXT = st.text(
    st.one_of(st.characters(codec=None), st.sampled_from('\ud83d\ude00\udcff\\u"d8\x00\ufeff\u2028')), max_size=40
)
"""Any characters, halves too, and often what looks like an escape."""

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fox", "fox"),
        ("hi \ud83d\ude00 bye", "hi 😀 bye"),
        ("cut \ud83d", "cut \ufffd"),
        ("\ude00 first", "\ufffd first"),
        ("\ude00\ud83d", "\ufffd\ufffd"),
        ("\ud83d\ud83d\ude00", "\ufffd😀"),
        ("\ud83d😀", "\ufffd😀"),
        ("nul \x00, ü, 語, \u2028", "nul \x00, ü, 語, \u2028"),
    ],
)
def test_halves_are_joined_and_the_rest_replaced(text: str, expected: str) -> None:
    assert well_formed(text) == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (rb'{"a": "fox \ud83d"}', {"a": "fox \ufffd"}),
        (rb'{"a": "\uD83D\uDE00"}', {"a": "😀"}),
        (rb'{"\udc00": {"\ud83d": ["\udfff"]}}', {"\ufffd": {"\ufffd": ["\ufffd"]}}),
        (rb'{"a": "\\ud83d"}', {"a": "\\ud83d"}),
        (rb'{"a": "\\\ud83d"}', {"a": "\\\ufffd"}),
        (rb'{"a": "\u00e9\n\ud83d\u0041"}', {"a": "é\n\ufffdA"}),
        (b'{"a": "\xed\xa0\xbd\xed\xb8\x80 \xed\xa0\xbd"}', {"a": "😀 \ufffd"}),
        (b'{"a": "\xed\xa0\xbd\\ude00"}', {"a": "😀"}),
        (b'{"a": "\xff\xfe"}', {"a": "\ufffd\ufffd"}),
        (b'{"a": "caf\xe9 \xfcber"}', {"a": "café über"}),
        (b'\xef\xbb\xbf{"a": "caf\xe9 \xf0\x9f\x98"}', {"a": "caf\ufffd \ufffd"}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        ('\ufeff{"a": "\ud83d"}', {"a": "\ufffd"}),
    ],
)
def test_json_is_read_without_halves(data: bytes | str, expected: object) -> None:
    assert read_json(data) == expected


@pytest.mark.parametrize("data", ["", "{", "[1,]", "no", b"\xff\xfe{\x00}\x00", "[" * 100_000])
def test_what_is_no_json_is_a_value_error(data: bytes | str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_json(data)


@given(ANY_TEXT)
def test_any_text_becomes_one_that_can_be_written(text: str) -> None:
    mended = well_formed(text)

    assert mended.encode().decode() == mended
    assert well_formed(mended) == mended
    assert mended == text or any("\ud800" <= letter <= "\udfff" for letter in text)


@given(ANY_JSON, st.booleans())
def test_any_json_is_read_as_if_each_text_had_been_mended(value: object, ascii_only: bool) -> None:
    def mended(part: object) -> object:
        if isinstance(part, dict):
            return {well_formed(name): mended(inner) for name, inner in cast("dict[str, object]", part).items()}
        if isinstance(part, list):
            return [mended(inner) for inner in cast("list[object]", part)]
        return well_formed(part) if isinstance(part, str) else part

    written = json.dumps(value, ensure_ascii=ascii_only)

    assert read_json(written) == mended(value)
    assert read_json(written.encode("utf-8", "surrogatepass")) == mended(value)
    assert well_formed_json(value) == mended(value)
    well_formed_text_of_json(written).encode()
