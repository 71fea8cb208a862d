"""What the tests of chat share: names, answers and counts."""

from typing import Any

from mcp_types import CallToolResult
from novita_mcp.simulator.core.world import World

from ...conftest import text_of

CHAT = "create_chat_completion"
EMBED = "create_embeddings"
SPENDING = (CHAT, "create_completion", EMBED, "create_rerank")
SEEING = "qwen/qwen3-vl-30b-a3b-instruct"
HOUR = 3600


def structured(result: CallToolResult) -> dict[str, Any]:
    assert not result.is_error, text_of(result)
    return result.structured_content or {}


def paid_requests(world: World) -> int:
    return sum(world.count(name) for name in SPENDING)
