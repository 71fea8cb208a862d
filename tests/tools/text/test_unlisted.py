"""Language models that Novita's list does not know, or that are gone: only Novita says no."""

from typing import Any

import pytest
from novita_mcp.novita.text.language_models import DEFAULT_MODELS, choose_model, read_model
from novita_mcp.simulator.core.world import World

from ...conftest import Connect, text_of

Json = dict[str, Any]
SILENT: Json = {"data": [{"id": "deepseek/deepseek-v3.2", "model_type": "chat", "endpoints": ["chat/completions"]}]}
NO_MODEL: Json = {
    "status": 404,
    "body": '{"code": 404, "reason": "MODEL_NOT_FOUND", "message": "model not found", "metadata": {}}',
    "content_type": "application/json",
}


def list_says(world: World, rows: Json) -> None:
    import json

    body = json.dumps(rows)
    world.trouble({"status": 200, "body": body, "content_type": "application/json"}, path="/openai/v1/models", times=-1)


CALLS: dict[str, tuple[str, Json, str]] = {
    "embeddings": ("create_embeddings", {"texts": ["a fox"]}, "embedding"),
    "rerank": ("rerank", {"query": "fox", "documents": ["a fox", "a hen"]}, "rerank"),
}


@pytest.mark.parametrize("named", [True, False], ids=["named", "not named"])
@pytest.mark.parametrize("kind", CALLS)
async def test_vectors_and_rankings_are_sent_though_the_list_is_silent(
    connect: Connect, world: World, kind: str, named: bool
) -> None:
    list_says(world, SILENT)
    tool, wish, need = CALLS[kind]
    usual = DEFAULT_MODELS[need][0]
    async with connect() as client:
        result = await client.call_tool(tool, wish | ({"model": usual} if named else {}) | {"confirm": True})
        assert not result.is_error, text_of(result)
        assert (result.structured_content or {})["model"] == usual


async def test_a_language_model_that_is_named_is_sent_though_the_list_is_silent(connect: Connect, world: World) -> None:
    list_says(world, SILENT)
    async with connect() as client:
        wish = {"prompt": "x", "model": "zai-org/glm-4.7-flash", "max_tokens": 20, "confirm": True}
        result = await client.call_tool("chat", wish)
        assert not result.is_error, text_of(result)
        result = await client.call_tool("complete_text", wish)
        assert not result.is_error, text_of(result)


def test_a_row_without_the_word_for_its_route_is_no_veto() -> None:
    bare = read_model({"id": "baai/bge-m3", "model_type": "embedding", "endpoints": ["chat/completions"]})
    untyped = read_model({"id": "a/b", "endpoints": ["responses"]})
    assert choose_model([bare], "baai/bge-m3", endpoint="embeddings", kinds=("embedding",))[1] is bare
    assert choose_model([bare], None, endpoint="embeddings", kinds=("embedding",))[0] == "baai/bge-m3"
    assert choose_model([untyped], "a/b", endpoint="rerank", kinds=("rerank",))[1] is untyped


@pytest.mark.parametrize(
    ("tool", "wish", "need"),
    [("chat", {"prompt": "x", "max_tokens": 20}, "text"), *CALLS.values()],
    ids=["chat", *CALLS],
)
async def test_a_default_that_is_gone_gives_way_to_the_next(
    connect: Connect, world: World, tool: str, wish: Json, need: str
) -> None:
    path = {"chat": "/openai/v1/chat/completions", "create_embeddings": "/openai/v1/embeddings"}
    world.trouble(NO_MODEL, path=path.get(tool, "/openai/v1/rerank"), times=1)
    first, second = DEFAULT_MODELS[need][:2]
    async with connect() as client:
        result = await client.call_tool(tool, wish | {"confirm": True})
        assert not result.is_error, text_of(result)
        assert text_of(result).startswith(f"{first} is not served by Novita any more; {second} took its place, for ")
        assert (result.structured_content or {})["model"] == second
        again = await client.call_tool(tool, wish | {"confirm": True})  # it is remembered
        assert (again.structured_content or {})["model"] == second
        assert "remark" not in (again.structured_content or {})
