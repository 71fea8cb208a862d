"""Lists that a model pays for by the token: one row a line, and the names of the fields once."""

import warnings
from importlib import import_module

from ...conftest import Connect, text_of


async def test_sixty_language_models_are_a_line_each_and_2500_tokens_at_most(connect: Connect) -> None:
    async with connect() as client:
        result = await client.call_tool("list_models", {"limit": 60})

    rows = len((result.structured_content or {})["models"])
    told = text_of(result)
    lines = [line for line in told.splitlines() if line.strip().startswith("- ")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # how it opens its table
        tokens = len(import_module("bpe_openai").get_encoding("o200k_base").encode(told))

    assert rows == len(lines) > 20
    assert tokens * 60 / rows <= 2_500, (tokens, rows)
