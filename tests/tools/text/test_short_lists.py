"""Lists that a model pays for by the token: one row a line, and the names of the fields once."""

from ...conftest import Connect, fields_of, text_of
from ...tokens import counted


async def test_sixty_language_models_are_a_line_each_and_2500_tokens_at_most(connect: Connect) -> None:
    async with connect() as client:
        result = await client.call_tool("list_models", {"limit": 60})

    rows = len(fields_of(result)["models"])
    told = text_of(result)
    lines = [line for line in told.splitlines() if line.strip().startswith("- ")]

    assert rows == len(lines) > 20
    assert counted(told) * 60 / rows <= 2_500, (counted(told), rows)
