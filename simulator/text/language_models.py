"""The language models: the table language_models.json, and the form in which Novita lists a model.

The ids of chat models come from the documented table of rate limits. Some were first seen later, and have the prices
that were read then. Other prices, sizes and abilities are invented. Archived models stay listed with status 4, as at
Novita, but do not answer. The documentation names only one embedding model, baai/bge-m3, and one rerank model,
baai/bge-reranker-v2-m3. The qwen models besides them are invented, so that a list has more than one of each.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from ..core.faults import Fault

Thinking = Literal["always", "switch", "inline"]
_CREATED = 1_745_000_000
_DAY = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """The prices for prompts of `start` to `end` tokens, in 0.0001 USD per million tokens."""

    start: int
    end: int
    input: int
    output: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageModel:
    """One row of the table. Prices are in 0.0001 USD per million tokens, sizes in tokens.

    thinking: "always" and "switch" (by enable_thinking) give reasoning_content. "inline" writes <think> into the
    content unless separate_reasoning is set. None means that the model does not think.
    """

    id: str
    title: str
    input: int
    output: int
    context: int
    max_output: int
    created: int
    kind: str = "chat"
    features: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ("text",)
    outputs: tuple[str, ...] = ("text",)
    endpoints: tuple[str, ...] = ()
    thinking: Thinking | None = None
    cache_read: int | None = None
    dimension: int = 0
    tiers: tuple[Tier, ...] = ()
    archived: bool = False

    def prices(self, prompt_tokens: int) -> tuple[int, int]:
        """The prices of input and output for a prompt of this length."""
        reached = [tier for tier in self.tiers if prompt_tokens >= tier.start]
        return (reached[-1].input, reached[-1].output) if reached else (self.input, self.output)

    def listing(self) -> dict[str, Any]:
        """The model as the routes for models show it: the documented fields, and then those seen in real answers."""
        return {
            "id": self.id,
            "object": "model",
            "created": self.created,
            "owned_by": "unknown",
            "permission": None,
            "root": "",
            "parent": "",
            "input_token_price_per_m": self.input,
            "output_token_price_per_m": self.output,
            "title": self.title,
            "display_name": self.title,
            "description": f"{self.title}, a {self.kind} model with a context of {self.context:,} tokens.",
            "tags": None,
            "context_size": self.context,
            "max_output_tokens": self.max_output,
            "status": 4 if self.archived else 1,
            "model_type": self.kind,
            "features": list(self.features),
            "endpoints": list(self.endpoints),
            "input_modalities": list(self.inputs),
            "output_modalities": list(self.outputs),
            "pricing": _pricing(self.input, self.output, self.cache_read),
            "is_tiered_billing": bool(self.tiers),
            "tiered_billing_configs": [
                {"min_tokens": tier.start, "max_tokens": tier.end, "pricing": _pricing(tier.input, tier.output, None)}
                for tier in self.tiers
            ]
            or None,
        }


def _pricing(prompt: int, completion: int, cache_read: int | None) -> dict[str, Any]:
    prices = {"prompt": prompt, "completion": completion}
    if cache_read is not None:
        prices["input_cache_read"] = cache_read
    return {
        name: {"price_per_m": price, "price_per_m_decimal": f"{price // 10_000}.{price % 10_000:04d}"}
        for name, price in prices.items()
    }


@cache
def models() -> dict[str, LanguageModel]:
    """All models by id, in the order of the list route."""
    rows = json.loads(Path(__file__).with_name("language_models.json").read_text(encoding="utf-8"))["models"]
    return {row["id"]: _model(row, age) for age, row in enumerate(rows)}


def _model(row: dict[str, Any], age: int) -> LanguageModel:
    lists: dict[str, Any] = {
        name: tuple(row.pop(name)) for name in ("features", "inputs", "outputs", "endpoints") if name in row
    }
    tiers = tuple(
        Tier(start=tier["from"], end=tier["to"], input=tier["input"], output=tier["output"])
        for tier in row.pop("tiers", ())
    )
    return LanguageModel(**row, **lists, tiers=tiers, created=_CREATED - age * 5 * _DAY)


def find_model(model_id: str, endpoint: str | None = None) -> LanguageModel:
    """The model with exactly this id. If `endpoint` is given, the model must serve it.

    Raises Fault 404 MODEL_NOT_FOUND, or 400 INVALID_REQUEST_BODY if the model does not serve the endpoint.
    """
    model = models().get(model_id)
    if model is None:
        raise Fault(404, "MODEL_NOT_FOUND", f"model: {model_id} not found")
    if model.archived and endpoint is not None:
        raise Fault(404, "MODEL_NOT_FOUND", f"model: {model_id} not found")
    if endpoint is not None and endpoint not in model.endpoints:
        raise Fault(400, "INVALID_REQUEST_BODY", f"model: {model_id} does not support endpoint: {endpoint}")
    return model
