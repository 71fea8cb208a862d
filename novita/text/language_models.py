"""Language models: Novita's live list with prices, which one to take, and what a call may and did cost."""

import difflib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Literal
from urllib.parse import quote
from weakref import WeakKeyDictionary

import httpx

from ..core.answers import Amount, Count, One, Rows, Shape, Text, Whole, Words, an_object, objects, read_shape
from ..core.client import NovitaClient
from ..core.errors import (
    InputError,
    NovitaConnectionError,
    NovitaError,
    UnknownModelError,
)
from ..core.json_text import Json
from ..core.money import BILLING_UNIT
from ..core.words import counted

Kind = Literal["chat", "embedding", "rerank", "other"]

MODELS_PATH = "/openai/v1/models"
FRESH_SECONDS = 300.0
"""How long a price list is used before it is read again."""

DEFAULT_MODELS: Mapping[str, tuple[str, ...]] = {
    "text": (
        "deepseek/deepseek-v4.1-flash",
        "deepseek/deepseek-v3.2",
        "zai-org/glm-4.7-flash",
        "zai-org/glm-5.3-flash",
        "minimax/minimax-m3",
        "openai/gpt-oss-120b",
    ),
    "image": (
        "qwen/qwen3.8-flash",
        "google/gemma-4-31b-it",
        "deepseek/deepseek-v4.1-flash",
        "zai-org/glm-4.6v",
        "moonshotai/kimi-k2.5",
    ),
    "video": ("qwen/qwen3.8-flash", "moonshotai/kimi-k2.5", "zai-org/glm-4.6v"),
    "audio": ("qwen/qwen3-omni-30b-a3b-instruct", "qwen/qwen3-omni-30b-a3b-thinking"),
    "embedding": ("baai/bge-m3", "qwen/qwen3-embedding-8b", "qwen/qwen3-embedding-0.6b"),
    "rerank": ("baai/bge-reranker-v2-m3", "qwen/qwen3-reranker-8b"),
}
"""What is taken where nobody says: the first that is on the live list. All answered, or were listed as served, in the
second half of 2026; the best evidence of life stands first."""

_ARCHIVED = 4
"""The `status` of a model that is still on the list but no longer served."""


@dataclass(frozen=True)
class Band:
    """Prices for prompts of `start` tokens and more, in USD per million tokens; None where nobody says."""

    start: int
    input: Decimal | None
    output: Decimal | None
    cached: Decimal | None = None


@dataclass(frozen=True)
class LlmModel:
    """One row of the live list. What the row does not say is None, or empty."""

    id: str
    title: str
    description: str
    kind: Kind
    context: int | None
    max_output: int | None
    features: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    endpoints: tuple[str, ...]
    bands: tuple[Band, ...]
    created: int | None
    archived: bool = False
    """Whether it is on the list but switched off."""
    typed: bool = False
    """Whether the list says what kind it is. If not, `kind` is a guess."""
    seen: str = ""
    """When the row was read, where the list cannot be read now: `2026-11-29 18:00 UTC`."""

    def band(self, prompt_tokens: int = 0) -> Band:
        """The prices for a prompt of this length."""
        reached = [band for band in self.bands if prompt_tokens >= band.start]
        return reached[-1] if reached else self.bands[0]

    def price(self, prompt: int, made: int, cached: int = 0) -> Decimal | None:
        """USD for so many tokens; None if a price is not known."""
        band = self.band(prompt)
        if band.input is None or (made and band.output is None):
            return None
        cached = min(cached, prompt)
        total = (prompt - cached) * band.input + cached * (band.cached if band.cached is not None else band.input)
        return (total + made * (band.output or 0)) / 1_000_000

    @property
    def usual_price(self) -> Decimal | None:
        """USD per million tokens, three prompt tokens to one made: what lists are sorted by."""
        band = self.bands[0]
        if band.input is None:
            return None
        if self.kind != "chat":
            return band.input
        return None if band.output is None else (3 * band.input + band.output) / 4

    def serves(self, endpoint: str) -> bool:
        """Whether a route serves it, as far as the list tells."""
        return not self.endpoints or endpoint in self.endpoints

    def has(self, feature: str) -> bool:
        """Whether it has a feature or takes a kind of input, as far as the list says."""
        if feature in ("image", "video", "audio"):
            return feature in self.inputs if self.inputs else True
        return feature in self.features


class _TokenPrice(Shape):
    """A price as the exact text, and as a count of 0.0001 USD."""

    price_per_m_decimal: Amount = None
    price_per_m: Amount = None

    @property
    def usd(self) -> Decimal | None:
        """USD per million tokens."""
        exact, units = _price(self.price_per_m_decimal), _price(self.price_per_m)
        return exact if exact is not None else None if units is None else units * BILLING_UNIT


class _TokenPrices(Shape):
    prompt: One[_TokenPrice] = _TokenPrice()
    completion: One[_TokenPrice] = _TokenPrice()
    input_cache_read: One[_TokenPrice] = _TokenPrice()

    def band(self, start: int) -> Band:
        return Band(start, self.prompt.usd, self.completion.usd, self.input_cache_read.usd)


class _PriceTier(Shape):
    min_tokens: Count = 0
    pricing: One[_TokenPrices] = _TokenPrices()


class _ModelRow(Shape):
    id: Text = ""
    display_name: Text = ""
    description: Text = ""
    model_type: Text = ""
    status: Whole = None
    context_size: Count = 0
    max_output_tokens: Count = 0
    features: Words = ()
    input_modalities: Words = ()
    output_modalities: Words = ()
    endpoints: Words = ()
    pricing: One[_TokenPrices] = _TokenPrices()
    input_token_price_per_m: Amount = None
    output_token_price_per_m: Amount = None
    tiered_billing_configs: Rows[_PriceTier] = ()
    created: Count = 0
    other_names: ClassVar[Mapping[str, str]] = {"title": "display_name"}

    @property
    def bands(self) -> tuple[Band, ...]:
        flat = self.pricing.band(0)
        prompt = _TokenPrice(price_per_m=self.input_token_price_per_m).usd if flat.input is None else flat.input
        made = _TokenPrice(price_per_m=self.output_token_price_per_m).usd if flat.output is None else flat.output
        found = [Band(0, prompt, made, flat.cached)]
        found += [tier.pricing.band(tier.min_tokens) for tier in self.tiered_billing_configs]
        if len(found) > 1 and found[0].input == 0:
            found = found[1:]  # tiered models list 0 as their flat price
        return tuple(sorted(found, key=lambda band: band.start))


def read_model(data: Json) -> LlmModel:
    """A row of the list, in any of the spellings seen; only the id is needed."""
    row = read_shape(_ModelRow, data, "listing the language models")
    return LlmModel(
        id=row.id,
        title=row.display_name or row.id,
        description=row.description,
        kind=_kind(row.model_type, row.endpoints),
        context=row.context_size or None,
        max_output=row.max_output_tokens or None,
        features=row.features,
        inputs=row.input_modalities,
        outputs=row.output_modalities,
        endpoints=row.endpoints,
        bands=row.bands,
        created=row.created or None,
        archived=row.status == _ARCHIVED,
        typed=bool(row.model_type),
    )


def _kind(named: str, endpoints: Sequence[str]) -> Kind:
    named = named.casefold()
    if "embed" in named or "embeddings" in endpoints:
        return "embedding"
    if "rerank" in named or "rerank" in endpoints:
        return "rerank"
    if not named or named == "chat" or any("completions" in each for each in endpoints):
        return "chat"
    return "other"


def _price(amount: Decimal | None) -> Decimal | None:
    """A price; None if it is below zero."""
    return amount if amount is not None and amount >= 0 else None


# The list ---------------------------------------------------------------------------------------------------------

_Known = dict[tuple[str, str], tuple[float, tuple[LlmModel, ...]]]
_lists: "WeakKeyDictionary[httpx.AsyncClient, _Known]" = WeakKeyDictionary()
_MOST_CALLERS = 64


async def llm_models(client: NovitaClient) -> tuple[LlmModel, ...]:
    """Every language model on offer, as this key sees them; at most FRESH_SECONDS old. Archived ones are not on offer.

    Raises:
        NovitaError: The list cannot be read.
    """
    # Kept with the connection pool, so as long as the process, and separately for every caller: keys may see others.
    known = _lists.setdefault(client.http, {})
    place, now = (client.base_url, client.owner), client.clock.now()
    if place in known and now - known[place][0] < FRESH_SECONDS:
        return known[place][1]
    answer = await client.read("GET", MODELS_PATH, doing="listing the language models", group="llm")
    rows = objects(an_object(answer.data).get("data") or answer.data)
    models = tuple(model for row in rows if (model := read_model(row)).id and not model.archived)
    if not models:
        raise NovitaConnectionError("Novita's list of language models is empty or cannot be understood")
    while len(known) >= _MOST_CALLERS:
        del known[next(iter(known))]
    known[place] = (now, models)
    return models


async def llm_model(client: NovitaClient, model_id: str) -> LlmModel:
    """One model, freshly read. Raises UnknownModelError with the nearest ids, or what the route answered."""
    models = await llm_models(client)
    named = find_model(models, model_id)
    # The slash goes unescaped, as Novita's own CLI sends it.
    answer = await client.read(
        "GET", f"{MODELS_PATH}/{quote(named.id, safe='/')}", doing=f"reading {named.id}", group="llm"
    )
    row = an_object(answer.data)
    return read_model(row) if row.get("id") else named


def find_model(models: Sequence[LlmModel], model_id: str) -> LlmModel:
    """The model of this id; upper and lower case do not matter here, though they do to Novita.

    Raises:
        UnknownModelError: There is none; names the nearest.
    """
    wanted = model_id.strip().casefold()
    exact = [model for model in models if model.id.casefold() == wanted]
    if exact:
        return exact[0]
    short = [model for model in models if model.id.casefold().rpartition("/")[2] == wanted]
    if len(short) == 1:
        return short[0]
    near = nearest(model_id, [model.id for model in models])
    raise UnknownModelError(
        f"Novita has no language model {model_id[:80]!r}",
        next_step=f"The nearest are: {', '.join(near)}." if near else "See list_models.",
    )


def nearest(model_id: str, known: Sequence[str]) -> list[str]:
    """Ids that look like this one, the likeliest first."""
    folded = {one.casefold(): one for one in known}
    wanted = model_id.strip().casefold()
    by_name = {one.rpartition("/")[2]: whole for one, whole in folded.items()}
    found = [folded[one] for one in difflib.get_close_matches(wanted, list(folded), n=4, cutoff=0.6)]
    found += [by_name[one] for one in difflib.get_close_matches(wanted.rpartition("/")[2], list(by_name), n=4)]
    found += [whole for one, whole in folded.items() if wanted.rpartition("/")[2] in one]
    return list(dict.fromkeys(found))[:5]


def choose_model(
    models: Sequence[LlmModel],
    asked: str | None,
    *,
    endpoint: str,
    kinds: Iterable[str] = (),
    without: Collection[str] = (),
) -> tuple[str, LlmModel | None]:
    """Id and row of the model to call. A model that the list does not know has no row: only Novita knows whether it is.

    Args:
        endpoint: The route that must serve it ("chat/completions").
        kinds: Input beyond text it must take ("image"), or the kind of model ("embedding").
        without: Ids that are not taken unless they are asked for.

    Raises:
        InputError: The list says that it is not for this, or takes no such input; or nothing usual is there.
    """
    wanted = set(kinds)
    need = next((kind for kind in ("embedding", "rerank", "audio", "video", "image") if kind in wanted), "text")
    usual = [name for name in DEFAULT_MODELS[need] if name not in without]
    fitting = [model for model in models if model.serves(endpoint) and not lacks(model, wanted)]
    if asked is None:
        by_id = {model.id: model for model in models if not clashes(model, endpoint) and not lacks(model, wanted)}
        chosen = next((by_id[name] for name in usual if name in by_id), None)
        if chosen is not None:
            return chosen.id, chosen
        # No document promises that models for vectors and rankings are on the list.
        if usual and (not models or need in ("embedding", "rerank")):
            return usual[0], None
        raise InputError(
            f"None of the usual models for this is on Novita's list now ({', '.join(DEFAULT_MODELS[need])})",
            next_step=f"Name one: {_some(fitting)}." if fitting else "See list_models.",
        )
    try:
        model = find_model(models, asked)
    except UnknownModelError:
        return asked.strip(), None
    if clashes(model, endpoint):
        raise InputError(
            f"{model.id} is not served by {endpoint} but by {', '.join(model.endpoints)}",
            next_step=f"Use {_some(fitting)}." if fitting else "",
        )
    missing = lacks(model, wanted)
    if missing:
        raise InputError(
            f"{model.id} does not take {' or '.join(missing)} input",
            next_step=f"Models that do: {_some(fitting, DEFAULT_MODELS[need])}." if fitting else "See list_models.",
        )
    return model.id, model


_ENDPOINT_KINDS: Mapping[str, Kind] = {"embeddings": "embedding", "rerank": "rerank"}


def clashes(model: LlmModel, endpoint: str) -> bool:
    """Whether the list says, in its kind and in its routes, that a model is for something else."""
    kind = _ENDPOINT_KINDS.get(endpoint, "chat")
    return model.typed and model.kind != kind and not model.serves(endpoint)


def lacks(model: LlmModel, kinds: Iterable[str]) -> list[str]:
    """Kinds of input the model does not take."""
    return [kind for kind in kinds if kind in ("image", "video", "audio") and not model.has(kind)]


def need_feature(models: Sequence[LlmModel], model: LlmModel | None, feature: str, what: str) -> None:
    """Refuse what the model is known not to do, naming models that do.

    Raises:
        InputError: It lacks the feature.
    """
    if model is None or model.has(feature):
        return
    fitting = [other for other in models if other.kind == "chat" and other.has(feature)]
    raise InputError(
        f"{model.id} does not support {what}",
        next_step=f"Models that do: {_some(fitting)}." if fitting else "See list_models.",
    )


def _some(models: Sequence[LlmModel], usual: Sequence[str] = ()) -> str:
    """A few ids: the usual ones, then the cheapest."""
    ranked = sorted(models, key=lambda m: (m.id not in usual, m.usual_price is None, m.usual_price or 0))
    return ", ".join(model.id for model in ranked[:4])


# Tokens -----------------------------------------------------------------------------------------------------------

_WIDE = re.compile(r"[\u1100-\u11ff\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003fa1f]")
_MEDIA_TOKENS = 2_000
_CERTAIN = 12
"""The most letters that a token of a long text holds. A text that is too long by this count is certainly too long."""


def count_tokens(text: str) -> int:
    """About how many tokens a text has, rather too many than too few.

    Every model has a tokenizer of its own, and none is fetched for an estimate.
    """
    wide = len(_WIDE.findall(text))
    return wide * 3 // 2 + -(-(len(text) - wide) // 3)


def count_prompt(messages: Sequence[Mapping[str, Any]]) -> int:
    """About how many tokens a conversation has. Every picture, clip or sound counts the same."""
    total = 0
    for message in messages:
        content: Any = message.get("content")
        total += 8
        if isinstance(content, str):
            total += count_tokens(content)
        for part in objects(content):
            total += count_tokens(str(part.get("text", ""))) if part.get("type") == "text" else _MEDIA_TOKENS
        for call in objects(message.get("tool_calls")):
            total += count_tokens(str(call.get("function", "")))
    return total


def refuse_overflow(model: LlmModel | None, letters: int, what: str) -> None:
    """Refuse a text that cannot fit the model's context by any count.

    Raises:
        InputError: It is too long.
    """
    if model is None or model.context is None or letters <= model.context * _CERTAIN:
        return
    raise InputError(
        f"{what} has {counted(letters, 'character')}, which cannot fit the "
        f"{counted(model.context, 'token')} of {model.id}",
        next_step=OVERFLOW_STEP,
    )


OVERFLOW_STEP = "Shorten it, or take a model with a larger context: list_models with min_context."


def explain(error: NovitaError, models: Sequence[LlmModel], model_id: str) -> NovitaError:
    """The same error with what this side knows: nearest ids, or what to do about a context that is too small."""
    text = error.what.casefold()
    if getattr(error, "reason", None) == "MODEL_NOT_FOUND":
        near = [one for one in nearest(model_id, [model.id for model in models]) if one != model_id]
        error.next_step = f"The nearest are: {', '.join(near)}." if near else "See list_models."
    elif "context" in text and ("length" in text or "token" in text or "maximum" in text):
        error.next_step = OVERFLOW_STEP
    return error
