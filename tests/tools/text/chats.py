"""What the tests of chat share: names, answers and counts."""

from novita_mcp.simulator.core.world import World

CHAT = "create_chat_completion"
EMBED = "create_embeddings"
SPENDING = (CHAT, "create_completion", EMBED, "create_rerank")
SEEING = "qwen/qwen3-vl-30b-a3b-instruct"
HOUR = 3600


def paid_requests(world: World) -> int:
    return sum(world.count(name) for name in SPENDING)
