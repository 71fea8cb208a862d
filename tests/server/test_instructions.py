"""What a model is told before its first call."""

from mcp import Client
from novita_mcp.server.app import create_app
from novita_mcp.server.settings import Settings


async def told(settings: Settings) -> str:
    async with Client(create_app(settings), mode="legacy") as client:
        return client.instructions or ""


async def test_what_costs_when_one_asks_wrongly_is_told_first() -> None:
    """A job asked for twice is paid twice, and an unknown price is not free."""
    text = await told(Settings())

    assert "working: the job goes on at Novita and is already paid for" in text
    assert "Never ask for the same thing again" in text
    assert "may be unknown" in text and "does not mean free" in text
    assert "only after a yes to that price" in text
    assert "cost until they are stopped" in text


async def test_it_is_short_and_names_only_what_is_there() -> None:
    text = await told(Settings(toolsets="images", read_only=True))

    assert len(text) < 2_000
    assert "Read-only" in text
