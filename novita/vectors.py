"""Embeddings of any number of texts, in parts within Novita's limits, and ranking of documents."""

import base64
import binascii
import json
import math
import struct
import sys
from array import array
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import anyio
import anyio.to_thread

from .client import NovitaClient
from .clock import Clock
from .errors import InputError, NovitaConnectionError, NovitaError, NovitaServerError, RateLimitError
from .llm import LlmModel, count_tokens

Json = dict[str, Any]
if TYPE_CHECKING:
    Vector = array[float]
else:
    Vector = array  # no subscript at run time before Python 3.12

EMBEDDINGS_PATH = "/openai/v1/embeddings"
RERANK_PATH = "/openai/v1/rerank"

MOST_TEXTS = 2048
"""Texts in one request, as documented."""

_MOST_TOKENS = 250_000  # of one request: a part that fails should not cost all
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
    """

    vectors: list[Vector | None]
    tokens: int = 0
    requests: int = 0
    missing: list[Missing] = field(default_factory=list[Missing])

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
                f"texts[{index}] has {len(one):,} characters and cannot fit the {model.context:,} tokens of {model.id}",
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
                made.missing.append(Missing(part.start, part.start + len(part.texts) - 1, str(error)))
        done += 1
        if on_part is not None:
            await on_part(done, len(parts))

    async with anyio.create_task_group() as group:
        for part in parts:
            group.start_soon(one, part)
    made.missing.sort(key=lambda missing: missing.first)
    if len(errors) == len(parts):
        raise errors[0]


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
            await clock.sleep(error.retry_after or client.jitter(0, client.retries.ceiling(attempt)))
            continue
        vectors, tokens = await anyio.to_thread.run_sync(_read_vectors, answer.data, len(part.texts))
        made.tokens += tokens
        made.vectors[part.start : part.start + len(vectors)] = vectors
        return


def _read_vectors(data: Any, count: int) -> tuple[list[Vector], int]:
    found: Json = cast(Json, data) if isinstance(data, dict) else {}
    rows = cast("list[Any]", found.get("data")) if isinstance(found.get("data"), list) else []
    placed: dict[int, Vector] = {}
    for number, row in enumerate(rows):
        held = cast(Json, row) if isinstance(row, dict) else {}
        index = held.get("index")
        vector = _vector(held.get("embedding"))
        if vector is not None:
            placed[index if isinstance(index, int) else number] = vector
    if set(placed) != set(range(count)) or len({len(vector) for vector in placed.values()}) != 1:
        raise NovitaConnectionError(
            f"Novita's answer has {len(placed)} usable vectors for {count} texts", billed="yes", next_step="Try again."
        )
    usage: Any = found.get("usage")
    tokens: Any = cast(Json, usage).get("total_tokens") if isinstance(usage, dict) else 0
    return [placed[index] for index in range(count)], tokens if isinstance(tokens, int) else 0


def _vector(raw: Any) -> Vector | None:
    """Numbers, or base64 of little-endian 32-bit ones."""
    try:
        if isinstance(raw, str):
            vector = array("f", base64.b64decode(raw, validate=True))
            if sys.byteorder == "big":
                vector.byteswap()
        elif isinstance(raw, list):
            vector = array("f", [float(number) for number in cast("list[Any]", raw)])
        else:
            return None
    except (ValueError, TypeError, OverflowError, binascii.Error):
        return None
    return vector if vector and all(map(math.isfinite, vector)) else None


def norms(vectors: Sequence[Vector | None]) -> tuple[float, float, float]:
    """Least, mean and greatest length of the vectors."""
    lengths = [math.sqrt(sum(number * number for number in vector)) for vector in vectors if vector is not None]
    return (min(lengths), sum(lengths) / len(lengths), max(lengths)) if lengths else (0.0, 0.0, 0.0)


def as_npy(made: Embedded) -> bytes:
    """NumPy's own format, float32, one row per text; a text without a vector is a row of NaN. No NumPy needed."""
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
    """Documents, the best first, and the tokens read."""

    ranked: tuple[Ranked, ...]
    tokens: int


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
    documents, top_n = body["documents"], body.get("top_n")
    answer = await client.spend("POST", RERANK_PATH, doing=f"ranking with {body['model']}", group="llm", body=body)
    data: Any = answer.data
    found: Json = cast(Json, data) if isinstance(data, dict) else {}
    rows = cast("list[Any]", found.get("results")) if isinstance(found.get("results"), list) else []
    ranked: list[Ranked] = []
    for row in rows:
        held = cast(Json, row) if isinstance(row, dict) else {}
        index, score = held.get("index"), held.get("relevance_score")
        if isinstance(index, int) and 0 <= index < len(documents) and isinstance(score, int | float):
            ranked.append(Ranked(index, float(score)))
    if not ranked:
        raise NovitaConnectionError("Novita's answer has no ranking in it", billed="yes", next_step="Try again.")
    usage: Any = found.get("usage")
    tokens: Any = cast(Json, usage).get("total_tokens") if isinstance(usage, dict) else 0
    ranked.sort(key=lambda one: -one.score)
    return Ranking(tuple(ranked[:top_n]), tokens if isinstance(tokens, int) else 0)
