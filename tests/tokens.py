"""How many tokens a text is to a model: o200k, by a tokenizer that carries its table (tiktoken would fetch it)."""

import warnings
from functools import cache
from importlib import import_module
from typing import Any


def counted(text: str) -> int:
    """Its o200k tokens."""
    return len(_encoder().encode(text))


@cache
def _encoder() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # how it opens its table
        return import_module("bpe_openai").get_encoding("o200k_base")
