"""MCP resources about language models: the list with prices, and one model in full."""

from ...novita.text.kept_list import listed_models
from ..kit.context import Caller
from ..kit.resources import ResourceSpec, as_json
from .chat import get_model, line_of


async def _models(caller: Caller) -> str:
    found = sorted(await listed_models(caller.novita, caller.app.journal), key=lambda model: model.id)
    return as_json([line_of(model).model_dump(mode="json", exclude_none=True) for model in found])


async def _model(caller: Caller, id: str) -> str:
    return as_json((await get_model(caller, id)).model_dump(mode="json", exclude_none=True))


async def _model_ids(caller: Caller, start: str) -> list[str]:
    return [
        model.id
        for model in await listed_models(caller.novita, caller.app.journal)
        if start.casefold() in model.id.casefold()
    ]


TEXT_RESOURCES = (
    ResourceSpec("novita://models/llm", "Language models", "Language models with live prices.", _models),
    ResourceSpec(
        "novita://models/llm/{+id}",  # {+id}, since ids contain a slash
        "Language model",
        "One language model in full.",
        _model,
        complete={"id": _model_ids},
    ),
)
