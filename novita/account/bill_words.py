"""What a line of the bill is for, in words, because Novita's own names are internal."""

from collections.abc import Mapping

from ..core.words import counted
from .bills import Sum

PRODUCTS: Mapping[str, str] = {
    "llm": "language model",
    "gen_api": "picture, video or sound model",
    "gpu": "rented GPU machine",
    "serverless": "workers of a serverless endpoint",
    "cloud_storage": "storage",
    "cloud_sandbox": "agent sandbox",
    "llm_dedicated_endpoint": "dedicated endpoint of a language model",
    "web_search": "web search",
    "bare_metal": "bare-metal server",
}
"""By productCategory of query_usage_based_billing."""
_TRADES: Mapping[str, str] = {
    "monthly_new_buy": "a term bought in advance",
    "monthly_re_buy": "a term renewed in advance",
    "monthly_re_config": "an extension of a term",
}
"""By tradeType of query_fixed_term_billing."""


def kind_of_product(category: str) -> str:
    """The words for a category. A category that no page names is shown as it is, without underscores."""
    return PRODUCTS.get(category, category.replace("_", " "))


def in_words(one: Sum) -> str:
    """`deepseek/deepseek-v3.2 (language model): 12,000 tokens read and 3,000 made, 2026-11-01 to 2026-11-30`."""
    when = f"{one.first} to {one.last}" if one.first != one.last else f"on {one.first}"
    if not one.product and not one.category:
        what = "Everything"
    else:
        kind = kind_of_product(one.category)
        what = f"{one.product or 'unnamed'} ({kind})" if kind and kind != one.product else one.product
    used = ""
    if one.kind == "fixed_term":
        used = " and ".join(dict.fromkeys(_TRADES.get(trade, "paid in advance") for trade in one.trades))
    elif one.tokens is not None:
        read, made = one.tokens
        used = f"{counted(read, 'token')} read and {made:,} made"
    by = f", by the key {one.key}" if one.key else ""
    return f"{what}: {used}, {when}{by}" if used else f"{what}, {when}{by}"
