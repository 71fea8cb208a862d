"""Vectors: parts within the limits, either encoding, files without NumPy."""

import base64
import json
import math
import struct
from array import array
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from novita_mcp.novita.core.errors import NovitaConnectionError
from novita_mcp.novita.text.vectors import (
    MOST_TEXTS,
    Embedded,
    as_json,
    as_npy,
    norms,
    parts_of,
    read_ranking,
    read_tokens,
    read_vectors,
)


@settings(deadline=None)
@given(st.integers(1, 5_000), st.integers(1, 2_000))
def test_parts_hold_every_text_once_and_keep_the_limit(count: int, size: int) -> None:
    texts = [f"{number:05d}" + "x" * size for number in range(count)]
    parts = parts_of(texts)
    assert [text for part in parts for text in part.texts] == texts
    assert [part.start for part in parts] == [texts.index(part.texts[0]) for part in parts]
    assert all(0 < len(part.texts) <= MOST_TEXTS for part in parts)


def test_a_missing_vector_is_a_row_of_nan_or_null() -> None:
    made = Embedded([array("f", [3.0, 4.0]), None])
    data = as_npy(made)
    assert struct.unpack("<4f", data[-16:])[:2] == (3.0, 4.0)
    assert all(math.isnan(number) for number in struct.unpack("<4f", data[-16:])[2:])
    assert json.loads(as_json(made, "m"))["vectors"] == [[3.0, 4.0], None]
    assert norms(made.vectors) == (5.0, 5.0, 5.0)


@pytest.mark.parametrize("packed", [False, True])
def test_vectors_are_read_in_either_encoding_and_by_their_index(packed: bool) -> None:
    def vector(*numbers: float) -> Any:
        return base64.b64encode(struct.pack("<2f", *numbers)).decode() if packed else list(numbers)

    rows = [{"index": 1, "embedding": vector(3, 4)}, {"index": 0, "embedding": vector(1, 2)}]
    vectors, gaps = read_vectors({"data": rows}, 2)
    assert ([list(each or ()) for each in vectors], gaps) == ([[1, 2], [3, 4]], [])
    odd: tuple[Any, ...] = (
        {},
        None,
        [],
        {"data": None},
        {"data": [None, 7]},
        {"data": [{"index": 0, "embedding": "!"}] * 2},
    )
    for wrong in odd:
        with pytest.raises(NovitaConnectionError, match="no usable vector"):
            read_vectors(wrong, 2)


LEAVES = st.one_of(st.none(), st.booleans(), st.integers(-3, 10**20), st.floats(), st.text(max_size=6))
ANYTHING = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner))
VECTORS = st.lists(st.floats(-1, 1), min_size=2, max_size=2) | st.sampled_from(["AACAPwAAAEA=", "!"]) | ANYTHING
NUMBERS = st.integers(-1, 3) | ANYTHING
ROWS = st.fixed_dictionaries({}, optional={"index": NUMBERS, "embedding": VECTORS}) | ANYTHING
SCORED = st.fixed_dictionaries({}, optional={"index": NUMBERS, "relevance_score": st.floats() | ANYTHING}) | ANYTHING


@settings(deadline=None)
@given(st.lists(ROWS, max_size=4), ANYTHING)
def test_an_answer_of_any_shape_gives_each_text_a_vector_or_a_reason(rows: list[Any], usage: Any) -> None:
    assert read_tokens({"usage": usage}) >= 0
    try:
        vectors, gaps = read_vectors({"data": rows, "usage": usage}, 3)
    except NovitaConnectionError as error:
        assert error.billed in ("yes", "maybe")
        return
    missing = {index for gap in gaps for index in range(gap.first, gap.last + 1)}
    assert missing == {index for index, vector in enumerate(vectors) if vector is None}
    assert len({len(vector) for vector in vectors if vector is not None}) == 1
    assert all(math.isfinite(number) for vector in vectors for number in vector or ())


@settings(deadline=None)
@given(st.lists(SCORED, max_size=4), st.none() | st.integers(1, 3))
def test_a_ranking_of_any_shape_names_each_document_once(rows: list[Any], top_n: int | None) -> None:
    try:
        made = read_ranking({"results": rows}, ["a", "b", "c"], top_n)
    except NovitaConnectionError:
        return
    named = [one.index for one in made.ranked]
    assert len(set(named)) == len(named) <= (top_n or 3)
    assert all(math.isfinite(one.score) for one in made.ranked)
    assert not set(named) & set(made.unscored)
    assert top_n is not None or {*named, *made.unscored} == {0, 1, 2}
