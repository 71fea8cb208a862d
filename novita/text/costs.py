"""What tokens will cost. Tokens of unknown price count as the dearest living language model's."""

from collections.abc import Iterable, Sequence
from decimal import Decimal

from ..core.costs import Cost, ceiling
from .language_models import LlmModel


def tokens_cost(models: Sequence[LlmModel], model: LlmModel | None, read: int, made: int, *, note: str = "") -> Cost:
    """So many tokens on a model.

    Args:
        models: The live list; empty where it cannot be had.
        model: Its row, where it has one.
        made: At most.
    """
    usd = model.price(read, made) if model is not None else None
    if model is not None and model.seen:
        note = f"{note} {list_of(model)}".strip()
    if usd is not None:
        return Cost(usd, note)
    return Cost(None, note, "unknown", ceiling=dearest(models, read, made))


def list_of(model: LlmModel) -> str:
    """Of a row that was read before, how old the list is, in a sentence."""
    return f"Prices are those of {model.seen}: Novita's list cannot be read now."


def dearest(models: Sequence[LlmModel], read: int, made: int) -> Decimal:
    """USD for so many tokens at the highest prices on the list; without a list, at the highest documented ones."""
    bands = [band for model in models for band in model.bands]
    each_read = _highest((band.input for band in bands), ceiling("million_tokens_read"))
    each_made = _highest((band.output for band in bands), ceiling("million_tokens_made"))
    return (read * each_read + made * each_made) / 1_000_000


def _highest(prices: Iterable[Decimal | None], otherwise: Decimal) -> Decimal:
    return max((price for price in prices if price is not None), default=otherwise)
