"""Embeddings, rerank, and the model list."""

import asyncio
import base64
import math
from array import array
from collections import Counter
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from starlette.responses import Response

from ..core.answers import answer
from ..core.calls import Call, Handler
from ..core.faults import Fault
from ..core.relevance import STOP, WORD, relevance
from . import generate, tokens
from .language_models import find_model, models
from .state import LlmState
from .stream import pause_for

Json = dict[str, Any]

_SHIFT = 64  # After this many texts other requests get their turn.
_TOUCHED = 16  # One feature changes so many places of a vector.


async def create_embeddings(call: Call) -> Response:
    """Answers with vectors of length 1. Texts that share words or parts of words have similar vectors."""
    body = call.body
    model = find_model(body["model"], "embeddings")
    inputs = generate.prompts_of(body["input"])
    if not inputs:
        raise Fault(400, "INVALID_REQUEST_BODY", "input must not be empty")
    for index, (text, size) in enumerate(inputs):
        if not text.strip():
            raise Fault(400, "INVALID_REQUEST_BODY", f"input[{index}] must not be empty")
        if size > model.context:
            message = f"input[{index}] has {size} tokens, more than the model's {model.context}"
            raise Fault(400, "INVALID_REQUEST_BODY", message)
    total = sum(size for _, size in inputs)
    state = call.world.area(LlmState)
    price = tokens.cost((total, model.input))
    generate.admit(state, call.account, model, price)
    await pause_for(state, 0)
    generate.charge(state, call.account, call.operation.id, price, model, "")
    packed = body.get("encoding_format") == "base64"
    data: list[Json] = []
    for index, (text, _) in enumerate(inputs):
        vector = embed(text, model.dimension)
        if index % _SHIFT == _SHIFT - 1:
            await asyncio.sleep(0)
        data.append({"object": "embedding", "index": index, "embedding": _packed(vector) if packed else vector})
    usage = {"prompt_tokens": total, "total_tokens": total}
    return answer({"object": "list", "data": data, "model": model.id, "usage": usage})


def embed(text: str, dimension: int) -> list[float]:
    """A unit vector made from hashed words, which weigh more, and letter trigrams of the text."""
    sums = [0.0] * dimension
    for feature, weight in _features(text).items():
        for place in _places(feature, dimension):
            if place < 0:
                sums[~place] -= weight
            else:
                sums[place] += weight
    norm = math.sqrt(sum(value * value for value in sums)) or 1.0
    return [round(value / norm, 7) for value in sums]


def _features(text: str) -> dict[str, float]:
    words = Counter(WORD.findall(text.lower()))
    weights: dict[str, float] = {"": 0.1}  # Without this a text without words would have no direction.
    for word, times in words.items():
        weight = (1 + math.log(times)) * (0.2 if word in STOP else 1.0)
        weights[word] = weights.get(word, 0) + weight
        padded = f"<{word}>"
        for start in range(len(padded) - 2):
            part = f"#{padded[start : start + 3]}"
            weights[part] = weights.get(part, 0) + 0.3 * weight
    return weights


@lru_cache(maxsize=50_000)
def _places(feature: str, dimension: int) -> tuple[int, ...]:
    """The indices to which a feature adds. It subtracts where an index is given as ~index."""
    digest = blake2b(feature.encode("utf-8", "replace"), digest_size=4 * _TOUCHED).digest()
    numbers = (int.from_bytes(digest[at : at + 4]) for at in range(0, len(digest), 4))
    return tuple((number >> 1) % dimension if number & 1 else ~((number >> 1) % dimension) for number in numbers)


def _packed(vector: list[float]) -> str:
    return base64.b64encode(array("f", vector).tobytes()).decode()


async def create_rerank(call: Call) -> Response:
    """Answers with the documents that share most words with the query first. Equal scores keep their order."""
    body = call.body
    model = find_model(body["model"], "rerank")
    documents: list[str] = body["documents"]
    if not documents:
        raise Fault(400, "INVALID_REQUEST_BODY", "documents must not be empty")
    if body.get("top_n", 1) < 1:
        raise Fault(400, "INVALID_REQUEST_BODY", "top_n must be at least 1")
    query = tokens.count(body["query"])
    sizes = [query + tokens.count(document) for document in documents]
    if max(sizes) > model.context:
        message = f"documents[{sizes.index(max(sizes))}] and the query exceed the model's {model.context} tokens"
        raise Fault(400, "INVALID_REQUEST_BODY", message)
    state = call.world.area(LlmState)
    price = tokens.cost((sum(sizes), model.input))
    generate.admit(state, call.account, model, price)
    await pause_for(state, 0)
    ref = call.world.new_id("rerank-")
    generate.charge(state, call.account, call.operation.id, price, model, ref)
    scores = relevance(body["query"], documents)
    ranked = sorted(range(len(documents)), key=lambda index: -scores[index])[: body.get("top_n")]
    return answer(
        {
            "id": ref,
            "results": [
                {"index": index, "relevance_score": scores[index], "document": {"text": documents[index]}}
                for index in ranked
            ],
            "usage": {"prompt_tokens": sum(sizes), "completion_tokens": 0, "total_tokens": sum(sizes)},
        }
    )


async def list_models(call: Call) -> Response:
    return answer({"data": [model.listing() for model in models().values()]})


async def retrieve_model(call: Call) -> Response:
    return answer(find_model(call.path["model"]).listing())


HANDLERS: dict[str, Handler] = {
    "create_embeddings": create_embeddings,
    "create_rerank": create_rerank,
    "list_models": list_models,
    "retrieve_model": retrieve_model,
}
