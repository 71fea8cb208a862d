"""The language-model area: every operation of llm.yaml, and the control route of its knobs.

GET or POST /_simulator/llm shows or sets what llm_state.LlmState.control describes.
"""

from typing import Any

from . import control, llm_batches, llm_chat, llm_files, llm_other, llm_vectors, llm_web
from .calls import Handler
from .llm_state import LlmState
from .world import World

HANDLERS: dict[str, Handler] = {
    **llm_chat.HANDLERS,
    **llm_vectors.HANDLERS,
    **llm_files.HANDLERS,
    **llm_batches.HANDLERS,
    **llm_web.HANDLERS,
    **llm_other.HANDLERS,
}


async def get_llm(world: World, _: dict[str, Any]) -> Any:
    return world.area(LlmState).report()


async def post_llm(world: World, sent: dict[str, Any]) -> Any:
    return world.area(LlmState).control(sent)


control.ROUTES["GET", "llm"] = get_llm
control.ROUTES["POST", "llm"] = post_llm
