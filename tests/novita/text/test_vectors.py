"""Vectors: parts within the limits, either encoding, files without NumPy."""

import base64
import json
import math
import struct
from array import array
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from novita_mcp.novita.core.errors import NovitaConnectionError
from novita_mcp.novita.text.vectors import MOST_TEXTS, Embedded, as_json, as_npy, norms, parts_of, read_vectors


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
    for wrong in ({}, None, [], {"data": None}, {"data": [None, 7]}, {"data": [{"index": 0, "embedding": "!"}] * 2}):
        with pytest.raises(NovitaConnectionError, match="no usable vector"):
            read_vectors(wrong, 2)
