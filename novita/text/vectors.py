"""Embeddings of any number of texts, in parts within Novita's limits, and ranking of documents."""

import base64
import binascii
import json
import math
import struct
import sys
from array import array
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from ..core.answers import a_count, a_list, a_number, a_text, an_object, error_words, objects
from ..core.client import NovitaClient
from ..core.clock import Clock
from ..core.errors import (
    BILLED_TEXT,
    InputError,
    NovitaConnectionError,
    NovitaError,
    NovitaServerError,
    RateLimitError,
    redact,
)
from ..core.json_text import Json, is_list, is_object
from ..core.words import counted
from .language_models import LlmModel, count_tokens

if TYPE_CHECKING:
    Vector = array[float]
else:
    Vector = array  # no subscript at run time before Python 3.12

EMBEDDINGS_PATH = "/openai/v1/embeddings"
RERANK_PATH = "/openai/v1/rerank"

MOST_TEXTS = 2048
"""Texts in one request, as documented."""

_MOST_TOKENS = 250_000  # tokens of one request, so that a part that fails does not cost everything
_AT_ONCE = 4
_TRIES = 3

OnPart = Callable[[int, int], Awaitable[None]]


@dataclass(frozen=True)
class Part:
    """Texts that go in one request, beginning at `start` of the whole list."""

    start: int
    texts: tuple[str, ...]


@dataclass
class Missing:
    """Texts without vectors: `first` to `last`, counted from 0, and why."""

    first: int
    last: int
    reason: str


@dataclass
class Embedded:
    """Vectors in the order of the texts; None where a part failed.

    Args:
        tokens: As Novita counted them, over all parts that worked.
        requests: How many were sent.
        unread: Answers for parts that could not be read, as they came.
    """

    vectors: list[Vector | None]
    tokens: int = 0
    requests: int = 0
    missing: list[Missing] = field(default_factory=list[Missing])
    unread: list[Any] = field(default_factory=list[Any])

    @property
    def dimension(self) -> int:
        return next((len(vector) for vector in self.vectors if vector is not None), 0)


def check_texts(texts: Sequence[str], model: LlmModel | None) -> None:
    """Refuse texts that cannot be embedded, naming the first.

    Raises:
        InputError: There are none, one is empty, or one is too long by any count.
    """
    if not texts:
        raise InputError("There are no texts")
    for index, one in enumerate(texts):
        if not one.strip():
            raise InputError(f"texts[{index}] is empty")
        if model is not None and model.context and len(one) > model.context * 12:
            raise InputError(
                f"texts[{index}] has {counted(len(one), 'character')} and cannot fit the "
                f"{counted(model.context, 'token')} of {model.id}",
                next_step="Cut it into pieces.",
            )


def parts_of(texts: Sequence[str]) -> list[Part]:
    """The texts in requests of at most MOST_TEXTS."""
    parts: list[Part] = []
    start = tokens = 0
    for index, one in enumerate(texts):
        size = count_tokens(one)
        if index > start and (index - start >= MOST_TEXTS or tokens + size > _MOST_TOKENS):
            parts.append(Part(start, tuple(texts[start:index])))
            start, tokens = index, 0
        tokens += size
    return [*parts, Part(start, tuple(texts[start:]))]


async def embed(
    client: NovitaClient,
    model: str,
    texts: Sequence[str],
    made: Embedded,
    *,
    clock: Clock,
    on_part: OnPart | None = None,
) -> None:
    """Fill `made`, a few requests at a time. What fails is told in `made.missing`.

    A part that Novita answered with a fault of its own (5xx, 429) is asked for again, alone: an answer without
    vectors brought nothing. One whose answer was lost is not: it may have been paid for.

    Raises:
        NovitaError: Not one part worked.
    """
    parts = parts_of(texts)
    made.vectors = [None] * len(texts)
    errors: list[NovitaError] = []
    limit = anyio.CapacityLimiter(_AT_ONCE)
    done = 0

    async def one(part: Part) -> None:
        nonlocal done
        async with limit:
            try:
                await _embed_part(client, model, part, made, clock)
            except NovitaError as error:
                errors.append(error)
                if isinstance(error, NovitaConnectionError) and error.unread:
                    made.unread.append(error.unread)
                made.missing.append(Missing(part.start, part.start + len(part.texts) - 1, str(error)))
        done += 1
        if on_part is not None:
            await on_part(done, len(parts))

    async with anyio.create_task_group() as group:
        for part in parts:
            group.start_soon(one, part)
    if len(errors) == len(parts):
        raise errors[0]
    others: dict[int, str] = {}
    await anyio.to_thread.run_sync(_refuse_other_lengths, made.vectors, others)
    made.missing += [Missing(index, index, f"{reason}. {BILLED_TEXT['yes']}") for index, reason in others.items()]
    made.missing.sort(key=lambda missing: missing.first)


def embedding_body(model: str, part: Part) -> Json:
    """What is sent for one part."""
    return {"model": model, "input": list(part.texts), "encoding_format": "base64"}


async def _embed_part(client: NovitaClient, model: str, part: Part, made: Embedded, clock: Clock) -> None:
    body = embedding_body(model, part)
    doing = f"embedding with {model}"
    for attempt in range(_TRIES):
        made.requests += 1
        try:
            answer = await client.spend("POST", EMBEDDINGS_PATH, doing=doing, group="llm", body=body)
        except (NovitaServerError, RateLimitError) as error:
            if attempt == _TRIES - 1 or (error.retry_after or 0) > client.retries.longest:
                raise
            await clock.sleep(client.retries.pause(attempt, error.retry_after, client.jitter))
            continue
        made.tokens += read_tokens(answer.data)
        vectors, gaps = await anyio.to_thread.run_sync(read_vectors, answer.data, len(part.texts))
        made.vectors[part.start : part.start + len(vectors)] = vectors
        made.missing += [Missing(part.start + gap.first, part.start + gap.last, gap.reason) for gap in gaps]
        return


def read_vectors(data: Any, count: int) -> tuple[list[Vector | None], list[Missing]]:
    """The vectors of an answer in the order of its texts, and which texts got none, and why.

    One vector that is none costs one text: the others were paid for.

    Raises:
        NovitaConnectionError: There is not one good vector in it.
    """
    rows = _rows(data)
    vectors: list[Vector | None] = [None] * count
    reasons: dict[int, str] = {}
    for index, row in zip(_places(rows, count), rows, strict=True):
        if index is None or reasons.get(index) == _SEVERAL:
            continue
        vector, reason = _vector(_held(row, _VECTOR_NAMES) if isinstance(row, dict) else row)
        if vector is None:
            reasons.setdefault(index, reason)
        elif vectors[index] is None:
            vectors[index] = vector
        elif vectors[index] != vector:
            vectors[index], reasons[index] = None, _SEVERAL
    _refuse_other_lengths(vectors, reasons)
    if not any(vector is not None for vector in vectors):
        why = f" ({next(iter(reasons.values()))})" if reasons else ""
        raise _unusable(data, rows, f"Novita's answer has no usable vector for {counted(count, 'text')}{why}")
    return vectors, _gaps(vectors, reasons)


_NO_VECTOR = "Novita's answer has no vector for it"
_SEVERAL = "Novita's answer has several vectors for it"


_LIST_NAMES = ("data", "embeddings", "embedding", "vectors", "predictions", "results", "output", "outputs")
_VECTOR_NAMES = ("embedding", "embeddings", "vector", "values", "float", "floats", "dense", "base64")
"""Where servers of models put vectors, and the numbers of one, the first that holds any."""


def _held(value: Any, names: Sequence[str]) -> Any:
    held = an_object(value)
    return next((held[name] for name in names if held.get(name) is not None), None)


def _rows(data: Any) -> list[Any]:
    """The rows of an answer: its list, also under another name, one level deeper, by their numbers, or one alone."""
    found = data
    for _ in range(3):
        held = an_object(found)
        if held and all(key.isdigit() for key in held):
            return [{"index": int(key), "embedding": row} for key, row in held.items()]
        inner = _held(found, (*_LIST_NAMES, *_VECTOR_NAMES))
        if not (is_object(inner) or is_list(inner)) or _is_numbers(inner):
            break
        found = inner
    if is_list(found) and not _is_numbers(found):
        return found
    return [found] if is_list(found) or an_object(found).keys() & {*_VECTOR_NAMES} else []


def _is_numbers(value: Any) -> bool:
    """Whether it is one vector and not a list of them."""
    return bool(value) and all(isinstance(number, int | float) for number in a_list(value)) and isinstance(value, list)


def _unusable(data: Any, rows: Sequence[Any], what: str) -> NovitaConnectionError:
    """What to raise for an answer without anything of use: it may be an error that came with status 200."""
    _, _, said = error_words(an_object(data)) if not rows else (None, "", "")
    if said:
        return NovitaConnectionError(f"Novita answered with an error: {redact(said)[:400]}", billed="maybe")
    return NovitaConnectionError(what, billed="yes", next_step="Try again.", unread=data)


def _places(rows: Sequence[Any], count: int) -> list[int | None]:
    """To which text each row belongs; None: to none.

    By its index. Where no row has one, or all have the same, the order stands for it if the rows are as many as the
    texts.
    """
    named = [a_count(an_object(row).get("index")) for row in rows]
    if len(rows) == count and (len({*named}) == 1 or {*named} == {*range(1, count + 1)}):
        return list(range(count))
    places = [number if index is None else index for number, index in enumerate(named)]
    return [place if place < count else None for place in places]


def _refuse_other_lengths(vectors: list[Vector | None], reasons: dict[int, str]) -> None:
    """Remove vectors whose length differs from that of most: a table has one width."""
    lengths = Counter(len(vector) for vector in vectors if vector is not None)
    usual = lengths.most_common(1)[0][0] if lengths else 0
    for index, vector in enumerate(vectors):
        if vector is not None and len(vector) != usual:
            vectors[index] = None
            reasons[index] = f"Novita's vector for it has {counted(len(vector), 'number')} and the others have {usual}"


def _gaps(vectors: Sequence[Vector | None], reasons: Mapping[int, str]) -> list[Missing]:
    """Texts without vectors. Neighbours with the same reason are one entry."""
    gaps: list[Missing] = []
    for index, vector in enumerate(vectors):
        if vector is not None:
            continue
        reason = f"{reasons.get(index, _NO_VECTOR)}. {BILLED_TEXT['yes']}"
        if gaps and gaps[-1].last == index - 1 and gaps[-1].reason == reason:
            gaps[-1].last = index
        else:
            gaps.append(Missing(index, index, reason))
    return gaps


def _vector(raw: Any) -> tuple[Vector | None, str]:
    """Numbers, or base64 of little-endian 32-bit ones; or None and what is wrong with them."""
    for _ in range(2):  # {"values": [...]}, {"float": [...]}
        raw = _held(raw, _VECTOR_NAMES) if isinstance(raw, dict) else raw
    if raw is None:
        return None, _NO_VECTOR
    numbers = a_list(raw)
    if len(numbers) == 1 and isinstance(numbers[0], list):  # a table of one row
        numbers = a_list(numbers[0])
    try:
        if isinstance(raw, str):
            vector = array("f", base64.b64decode("".join(raw.split()), validate=True))
            if sys.byteorder == "big":
                vector.byteswap()
        else:
            vector = array("f", [math.nan if number is None else float(number) for number in numbers])
    except (ValueError, TypeError, OverflowError, binascii.Error):
        return None, "Novita's vector for it cannot be read"
    if not vector:
        return None, "Novita's vector for it is empty"
    if not all(map(math.isfinite, vector)):
        return None, "Novita's vector for it holds what is no number (NaN or Infinity)"
    return vector, ""


def read_tokens(data: Any) -> int:
    """How many tokens an answer says were read; 0 if it does not say."""
    usage = an_object(an_object(data).get("usage"))
    return a_count(usage.get("total_tokens")) or a_count(usage.get("prompt_tokens")) or 0


def norms(vectors: Sequence[Vector | None]) -> tuple[float, float, float]:
    """Least, mean and greatest length of the vectors."""
    lengths = [math.hypot(*vector) for vector in vectors if vector is not None]
    return (min(lengths), sum(lengths) / len(lengths), max(lengths)) if lengths else (0.0, 0.0, 0.0)


def as_npy(made: Embedded) -> bytes:
    """NumPy's own format, float32, one row per text; a text without a vector is a row of NaN.

    Written by hand: NumPy would be installed for these lines alone.
    """
    shape = (len(made.vectors), made.dimension)
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
    header += " " * (-(10 + len(header) + 1) % 64) + "\n"
    gap = struct.pack(f"<{shape[1]}f", *([math.nan] * shape[1]))
    rows = b"".join(gap if vector is None else struct.pack(f"<{shape[1]}f", *vector) for vector in made.vectors)
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode("latin-1") + rows


def as_json(made: Embedded, model: str) -> str:
    """`{model, shape, vectors}`; a text without a vector is null."""
    vectors = [None if vector is None else [round(number, 8) for number in vector] for vector in made.vectors]
    return json.dumps({"model": model, "shape": [len(vectors), made.dimension], "vectors": vectors})


@dataclass(frozen=True)
class Ranked:
    """One document: its place in what was given, and how well it answers."""

    index: int
    score: float


@dataclass(frozen=True)
class Ranking:
    """Documents, the best first, and the tokens read.

    Args:
        unscored: Places of documents that should have a score and have none that is a number.
    """

    ranked: tuple[Ranked, ...]
    tokens: int
    unscored: tuple[int, ...] = ()


def rerank_body(model: str, query: str, documents: Sequence[str], top_n: int | None) -> Json:
    """What is sent to rank documents."""
    body: Json = {"model": model, "query": query, "documents": list(documents)}
    return body if top_n is None else {**body, "top_n": top_n}


async def rerank(client: NovitaClient, body: Json) -> Ranking:
    """Rank documents by how well they answer a query.

    Args:
        body: By `rerank_body`.

    Raises:
        NovitaError: Novita refused it, or its answer cannot be understood.
    """
    answer = await client.spend("POST", RERANK_PATH, doing=f"ranking with {body['model']}", group="llm", body=body)
    return read_ranking(answer.data, body["documents"], body.get("top_n"))


def read_ranking(data: Any, documents: Sequence[str], top_n: int | None) -> Ranking:
    """A ranking in any spelling seen. A document that is named twice counts once, with its first score.

    Raises:
        NovitaConnectionError: There is not one score in it.
    """
    scores: dict[int, float | None] = {}
    for row in _ranked_rows(data):
        index = a_count(row.get("index"))
        if index is None:
            index = _place_of(row.get("document"), documents)
        if index is not None and index < len(documents):
            said = (a_number(row.get(name)) for name in ("relevance_score", "score", "similarity"))
            scores.setdefault(index, next((score for score in said if score is not None), None))
    ranked = [Ranked(index, score) for index, score in scores.items() if score is not None]
    if not ranked:
        raise _unusable(data, list(scores), "Novita's answer has no ranking in it")
    ranked.sort(key=lambda one: -one.score)
    expected = scores if top_n is not None else range(len(documents))
    unscored = tuple(index for index in sorted(expected) if scores.get(index) is None)
    return Ranking(tuple(ranked[:top_n]), read_tokens(data), unscored)


def _ranked_rows(data: Any) -> list[Json]:
    """The rows of a ranking, also bare or one level deeper; scores alone stand in the order of the documents."""
    for held in (data, an_object(data).get("output"), an_object(data).get("data")):
        found = objects(_held(held, ("results", "data", "rankings", "ranks"))) or objects(a_list(held))
        if found:
            return found
        if scores := a_list(_held(held, ("scores",))):
            return [{"index": index, "score": score} for index, score in enumerate(scores)]
    return []


def _place_of(document: Any, documents: Sequence[str]) -> int | None:
    """The place of a document that is given by its text; None if the text fits none or several."""
    said = a_text(an_object(document).get("text")) or a_text(document)
    places = [place for place, text in enumerate(documents) if text == said]
    return places[0] if len(places) == 1 else None
