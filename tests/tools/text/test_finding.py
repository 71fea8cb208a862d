"""The nearest of many texts: read from a file, kept as an index, embedded once; documents of a file ranked."""

import json
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from novita_mcp.simulator.core.world import World

from ...building import quick
from ...conftest import Connect, text_of

Json = dict[str, Any]

TEXTS = ["a red fox sleeps in the snow", "how to file a tax return", "the owl hunts at night", "tax law for beginners"]
QUESTION = "a fox in the snow"


async def find(client: Client, tool: str = "create_embeddings", **arguments: Any) -> Json:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, text_of(result)
    return result.structured_content or {}


def embedded(world: World) -> int:
    """Texts that the simulator was asked to embed."""
    return sum(len(request.body["input"]) for request in world.received("create_embeddings") if request.status == 200)


def written(folder: Path, kind: str) -> str:
    """The texts as people have them."""
    made = folder / f"texts.{kind}"
    rows = [{"id": number, "text": text} for number, text in enumerate(TEXTS)]
    made.write_text(
        {
            "txt": "\n".join(TEXTS) + "\n\n",
            "csv": "id,text\n" + "".join(f'{row["id"]},"{row["text"]}"\n' for row in rows),
            "jsonl": "".join(json.dumps(row) + "\n" for row in rows),
            "json": json.dumps(TEXTS),
        }[kind]
    )
    return str(made)


@pytest.mark.parametrize("kind", ["txt", "csv", "jsonl", "json"])
async def test_the_nearest_texts_of_a_file_are_the_answer(connect: Connect, tmp_path: Path, kind: str) -> None:
    async with connect() as client:
        told = await find(client, file=written(tmp_path, kind), query=QUESTION, top_n=2)

    assert told["nearest"][0]["text"] == TEXTS[0]
    assert told["nearest"][0]["index"] == 0
    assert len(told["nearest"]) == 2
    assert told["nearest"][0]["score"] > told["nearest"][1]["score"]
    assert "The 2 nearest of 4 texts" in text_of(await _again(connect, tmp_path, kind))


async def _again(connect: Connect, folder: Path, kind: str) -> Any:
    async with connect() as client:
        return await client.call_tool("create_embeddings", {"file": written(folder, kind), "query": "x", "top_n": 2})


async def test_an_index_made_once_is_used_again(connect: Connect, world: World, tmp_path: Path) -> None:
    """By its name, by its task, and where the same texts are asked about: only the question is embedded."""
    async with connect() as client:
        first = await find(client, file=written(tmp_path, "txt"), query=QUESTION, top_n=1)
        (index,) = first["files"]
        assert "task:" in first["next_step"]
        name = first["next_step"].partition('file="')[2].partition('"')[0]
        assert embedded(world) == 5
        ways: list[dict[str, Any]] = [{"file": index["path"]}, {"file": name}, {"texts": TEXTS}]
        for number, given in enumerate(ways, 1):
            told = await find(client, **given, query=f"tax return for {number} people", top_n=2)
            assert {near["index"] for near in told["nearest"]} == {1, 3}
            assert "files" not in told
            assert embedded(world) == 5 + number
        Path(index["path"]).unlink()
        await find(client, texts=TEXTS, query="owls", top_n=1)
    assert embedded(world) == 8 + 5


async def test_a_damaged_index_and_wrong_arguments_are_refused(connect: Connect, world: World, tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text('{"novita_index": 1, "model": "x", "dimension": 3, "texts": ["a"]}')
    (tmp_path / "empty.txt").write_text("\n\n")
    cases: list[tuple[Json, str]] = [
        ({"file": str(tmp_path / "index.json"), "query": "x"}, "damaged"),
        ({"file": str(tmp_path / "empty.txt"), "query": "x"}, "text is wanted"),
        ({"file": str(tmp_path / "none.txt"), "query": "x"}, "There is no file"),
        ({"query": "x"}, "either texts or file"),
        ({"texts": ["a"], "file": str(tmp_path / "empty.txt")}, "either texts or file"),
        ({"texts": ["a"], "top_n": 3}, "goes with query"),
        ({"texts": ["a"], "query": "x", "top_n": 99}, "1 to 50"),
    ]
    async with connect(build=quick) as client:
        for arguments, words in cases:
            result = await client.call_tool("create_embeddings", arguments)
            assert result.is_error and words in text_of(result), text_of(result)
    assert not world.charges


async def test_a_dry_run_of_a_search_shows_its_first_request(connect: Connect, world: World) -> None:
    async with connect() as client:
        told = await find(client, texts=TEXTS, query=QUESTION, dry_run=True)
    assert told["request"]["body"]["input"] == [*TEXTS, QUESTION]
    assert not world.charges


async def test_documents_of_a_file_are_ranked(connect: Connect, tmp_path: Path) -> None:
    async with connect() as client:
        given = await find(client, "rerank", query=QUESTION, documents=TEXTS)
        told = await find(client, "rerank", query=QUESTION, file=written(tmp_path, "csv"))
        spoken = await find(client, "rerank", query=QUESTION, file=written(tmp_path, "txt"), top_n=1)
    assert told["results"] == given["results"]
    assert [one["index"] for one in spoken["results"]] == [given["results"][0]["index"]]
