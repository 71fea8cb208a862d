"""Texts with their vectors in one file, and which of them lie nearest to a question.

The file is JSON: `{"novita_index": 1, "model": ..., "dimension": n, "texts": [...], "vectors": "<base64>"}`, where the
vectors are little-endian 32-bit floats, one after the other; a text without a vector has NaN there.
"""

import base64
import binascii
import hashlib
import json
import math
import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul

from ..core.answers import a_count, a_list, an_object
from ..core.errors import InputError
from ..core.json_text import load_json
from ..core.words import counted
from .vectors import Vector


@dataclass(frozen=True)
class TextIndex:
    """Texts and their vectors, None where there is none."""

    model: str
    texts: Sequence[str]
    vectors: Sequence[Vector | None]

    @property
    def dimension(self) -> int:
        return next((len(vector) for vector in self.vectors if vector is not None), 0)


@dataclass(frozen=True)
class Near:
    """A text by its place, and how near it is: the cosine, 1 at most."""

    index: int
    score: float


def index_key(model: str, texts: Sequence[str]) -> str:
    """A word that identifies an index of exactly these texts."""
    told = json.dumps([model, list(texts)], ensure_ascii=False)
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def write_index(index: TextIndex) -> str:
    """The index as its file holds it. Blocks."""
    gap = array("f", [math.nan] * index.dimension)
    flat = array("f")
    for vector in index.vectors:
        flat.extend(gap if vector is None else vector)
    if sys.byteorder == "big":
        flat.byteswap()
    head = {"novita_index": 1, "model": index.model, "dimension": index.dimension, "texts": list(index.texts)}
    packed = base64.b64encode(flat.tobytes()).decode("ascii")
    return json.dumps({**head, "vectors": packed}, ensure_ascii=False)


def is_index(data: bytes) -> bool:
    """Whether a file begins like an index."""
    return data[:64].lstrip().startswith(b'{"novita_index"')


def read_index(data: bytes, name: str) -> TextIndex:
    """An index from its file. Blocks.

    Raises:
        InputError: It is none, or damaged.
    """
    try:
        held = an_object(load_json(data))
        texts, width = [str(one) for one in a_list(held.get("texts"))], a_count(held.get("dimension")) or 0
        flat = array("f", base64.b64decode(str(held.get("vectors")), validate=True))
    except (ValueError, binascii.Error) as error:
        raise InputError(f"{name} is damaged: it is no index that can be read", next_step="Make it anew.") from error
    if sys.byteorder == "big":
        flat.byteswap()
    if not width or not texts or len(flat) != width * len(texts):
        raise InputError(f"{name} is damaged: its texts and vectors do not fit", next_step="Make it anew.")
    rows = [flat[place * width : (place + 1) * width] for place in range(len(texts))]
    return TextIndex(str(held.get("model")), texts, [None if math.isnan(row[0]) else row for row in rows])


def nearest_texts(index: TextIndex, wanted: Vector, most: int) -> list[Near]:
    """The texts nearest to a vector, the nearest first. Blocks.

    Raises:
        InputError: The vector has another length than those of the index.
    """
    if len(wanted) != index.dimension:
        raise InputError(
            f"The question has {counted(len(wanted), 'number')} and the index {index.dimension}",
            next_step="Use the model that made the index, or make it anew.",
        )
    length = math.hypot(*wanted) or 1.0
    found: list[Near] = []
    for place, vector in enumerate(index.vectors):
        if vector is not None:
            cosine = sum(map(mul, vector, wanted)) / ((math.hypot(*vector) or 1.0) * length)
            found.append(Near(place, cosine))
    return sorted(found, key=lambda near: (-near.score, near.index))[:most]
