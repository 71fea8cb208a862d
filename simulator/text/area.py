"""The language-model area: every operation of llm.yaml, and the control route of its knobs.

GET or POST /_simulator/llm shows or sets what llm_state.LlmState.control describes.

Not imitated: knowledge (texts are made from the prompt's words), sampling (the same request gives the same text),
real tokenizers, links to media (never fetched), generated audio, limits on tokens per minute, the partial results of
cancelled batches, streamed responses of /openai/v1/responses. Undocumented, so chosen: the body of an error event in
a stream, errors of batch and file calls (empty `reason`), error lines of a batch, prices of web search.
"""

from typing import Any

from ..batches import batch_files, batches
from ..core import control
from ..core.calls import Handler
from ..core.world import World
from ..web import search
from . import chat, other_dialects, vectors
from .state import LlmState

HANDLERS: dict[str, Handler] = {
    **chat.HANDLERS,
    **vectors.HANDLERS,
    **batch_files.HANDLERS,
    **batches.HANDLERS,
    **search.HANDLERS,
    **other_dialects.HANDLERS,
}


async def get_llm(world: World, _: dict[str, Any]) -> Any:
    return world.area(LlmState).report()


async def post_llm(world: World, sent: dict[str, Any]) -> Any:
    return world.area(LlmState).control(sent)


control.ROUTES["GET", "llm"] = get_llm
control.ROUTES["POST", "llm"] = post_llm
