"""Embeddings, ranking and the list of models, as a host meets them."""

import json
import math
import struct
from pathlib import Path
from typing import Any

import pytest
from novita_mcp.simulator.core.world import World

from ...building import quick
from ...conftest import Connect, structured, text_of

EMBED = "create_embeddings"


def npy(path: str) -> tuple[tuple[int, int], list[float]]:
    """A .npy file read by its documented format, without NumPy."""
    data = Path(path).read_bytes()
    assert data[:8] == b"\x93NUMPY\x01\x00"
    (length,) = struct.unpack("<H", data[8:10])
    assert (10 + length) % 64 == 0
    header = data[10 : 10 + length].decode()
    rows, columns = (int(number) for number in header.partition("(")[2].partition(")")[0].split(","))
    return (rows, columns), list(struct.unpack(f"<{rows * columns}f", data[10 + length :]))


async def test_texts_become_vectors_in_order_in_a_file(connect: Connect) -> None:
    async with connect() as client:
        answer = structured(await client.call_tool("create_embeddings", {"texts": ["a red fox", "a fox", "tax law"]}))
        assert answer["shape"] == [3, 1024]
        assert answer["norm"] == pytest.approx([1, 1, 1], abs=1e-3)
        (file,) = answer["files"]
        shape, numbers = npy(file["path"])
        assert shape == (3, 1024)
        first, second, third = (numbers[at * 1024 : (at + 1) * 1024] for at in range(3))
        assert sum(a * b for a, b in zip(first, second, strict=True)) > sum(
            a * b for a, b in zip(first, third, strict=True)
        )


async def test_few_vectors_can_be_shown_and_json_be_asked_for(connect: Connect, tmp_path: Path) -> None:
    async with connect() as client:
        shown = structured(await client.call_tool("create_embeddings", {"texts": ["fox", "cat"], "inline": True}))
        assert [len(vector) for vector in shown["vectors"]] == [1024, 1024]
        assert "files" not in shown
        place = str(tmp_path / "v.json")
        await client.call_tool("create_embeddings", {"texts": ["fox", "cat"], "save_to": place})
        saved = json.loads(Path(place).read_text())
    assert saved["shape"] == [2, 1024]
    assert saved["vectors"][1][:5] == pytest.approx(shown["vectors"][1][:5], abs=1e-5)


async def test_many_texts_go_in_parts_and_a_failed_part_is_repeated_alone(connect: Connect, world: World) -> None:
    texts = [f"text number {number}" for number in range(4_500)]
    world.trouble({"status": 500}, operation=EMBED, skip=1)
    async with connect(build=quick) as client:
        answer = structured(await client.call_tool("create_embeddings", {"texts": texts}))
        one = structured(await client.call_tool("create_embeddings", {"texts": [texts[4_321]], "inline": True}))
        _, numbers = npy(answer["files"][0]["path"])
    assert answer["status"] == "succeeded"
    assert answer["shape"] == [4_500, 1024]
    assert answer["requests"] == 4
    sizes = sorted(len(sent.body["input"]) for sent in world.received(EMBED))
    assert sizes[-1] == 2048
    assert len(sizes) == 5
    assert numbers[4_321 * 1024 : 4_321 * 1024 + 5] == pytest.approx(one["vectors"][0][:5], abs=1e-5)


async def test_a_part_whose_answer_was_lost_is_not_repeated_and_its_texts_are_named(
    connect: Connect, world: World
) -> None:
    texts = [f"text number {number}" for number in range(2_100)]
    world.trouble({"reset": "after"}, operation=EMBED)
    async with connect(build=quick) as client:
        answer = structured(await client.call_tool("create_embeddings", {"texts": texts}))
        (missing,) = answer["missing"]
        _, numbers = npy(answer["files"][0]["path"])
    first: int = missing["first"]
    assert answer["status"] == "incomplete"
    assert math.isnan(numbers[first * 1024])
    assert "may have been billed" in missing["reason"]
    assert world.count(EMBED) == 2


async def test_documents_are_ranked_with_their_places(connect: Connect) -> None:
    documents = ["tax law", "the red fox hunts at night", "a fox"]
    async with connect() as client:
        asked = {"query": "when does the red fox hunt", "documents": documents, "top_n": 2}
        answer = structured(await client.call_tool("rerank", asked))
    assert [one["index"] for one in answer["results"]] == [1, 2]
    assert answer["results"][0]["score"] > answer["results"][1]["score"]


# Models


async def test_models_are_filtered_sorted_by_price_and_paged(connect: Connect) -> None:
    async with connect() as client:
        asked: dict[str, Any] = {"needs": ["image", "reasoning"], "min_context": 100_000, "limit": 2}
        page = structured(await client.call_tool("list_models", asked))
        assert page["total"] > 2
        assert page["next_offset"] == 2
        prices = [float(model["output_usd_per_million"]) for model in page["models"]]
        assert prices == sorted(prices)
        assert all("image" in model["takes"] and "reasoning" in model["features"] for model in page["models"])

        kinds = structured(await client.call_tool("list_models", {"kind": "embedding"}))
        assert kinds["models"][0]["id"] == "baai/bge-m3"
        cheap = structured(await client.call_tool("list_models", {"max_usd": 0.05, "kind": "chat"}))
        assert all(float(model["output_usd_per_million"]) <= 0.05 for model in cheap["models"])
        near = structured(await client.call_tool("list_models", {"query": "deepsek v3.2"}))
        assert any(model["id"] == "deepseek/deepseek-v3.2" for model in near["models"])


async def test_a_model_with_bands_shows_each_price(connect: Connect) -> None:
    async with connect() as client:
        answer = structured(await client.call_tool("get_model", {"model": "qwen/qwen3-max"}))
        assert [band["input_usd"] for band in answer["prices"]] == ["0.845", "1.4", "2.11"]
        unknown = await client.call_tool("get_model", {"model": "qwen3-maxx"})
        assert "qwen/qwen3-max" in text_of(unknown)
