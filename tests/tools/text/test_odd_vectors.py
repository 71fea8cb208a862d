"""Vectors and rankings as they really come: one that is no number, of another length, in another order."""

import base64
import json
import math
import re
import struct
from pathlib import Path
from typing import Any

import pytest

from ...conftest import Connect, structured, text_of
from ...odd import OddNovita, Reply

Json = dict[str, Any]
EMBED, RERANK = "/openai/v1/embeddings", "/openai/v1/rerank"
NAN = math.nan


@pytest.fixture
def era() -> str:
    """How an answer of Novita's is read does not depend on the protocol's era."""
    return "auto"


def packed(*numbers: float) -> str:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def row(index: Any, embedding: Any) -> Json:
    return {"object": "embedding", "index": index, "embedding": embedding}


def bare(embedding: Any) -> Json:
    return {"object": "embedding", "embedding": embedding}


A, B = [1.0, 2.0], [3.0, 4.0]
GOOD: dict[str, list[Json]] = {
    "in another order": [row(1, B), row(0, A)],
    "as base64": [row(0, packed(*A)), row(1, packed(*B))],
    "one of each": [row(0, packed(*A)), row(1, B)],
    "without an index": [bare(A), bare(B)],
    "one index for all": [row(0, A), row(0, B)],
    "null for all": [row(None, A), row(None, B)],
    "an index as text": [row("1", B), row("0", A)],
    "counted from 1": [row(1, A), row(2, B)],
    "a table of one row each": [row(0, [A]), row(1, [B])],
    "numbers as text": [row(0, ["1", "2.0"]), row(1, B)],
    "one twice": [row(0, A), row(1, B), row(1, B)],
    "a stranger": [row(0, A), row(1, B), row(7, A)],
}
GAPS: dict[str, tuple[list[Any], int, str]] = {
    "NaN as base64": ([row(0, packed(*A)), row(1, packed(3, NAN))], 1, "no number"),
    "NaN as a number": ([row(0, A), row(1, [3, NAN])], 1, "no number"),
    "infinity": ([row(0, [math.inf, 2]), row(1, B)], 0, "no number"),
    "a number of null": ([row(0, A), row(1, [None, 4])], 1, "no number"),
    "null": ([row(0, A), row(1, None)], 1, "no vector"),
    "an empty one": ([row(0, A), row(1, [])], 1, "empty"),
    "no base64": ([row(0, A), row(1, "!!")], 1, "cannot be read"),
    "base64 that was cut": ([row(0, packed(*A)), row(1, packed(*B)[:-3])], 1, "cannot be read"),
    "NaN as text": ([row(0, A), row(1, ["3", "NaN"])], 1, "no number"),
    "a number beyond all": ([row(0, [10**400, 1]), row(1, B)], 0, "no number"),
    "a row of null": ([row(0, A), None], 1, "no vector"),
    "too few": ([row(1, B)], 0, "no vector"),
    "another length": ([row(0, A), row(1, [1, 2, 3])], 1, "has 3 numbers and the others have 2"),
    "two for one text": ([row(0, A), row(1, B), row(1, A)], 1, "several vectors"),
}


def answer(rows: list[Any], usage: Any = None) -> Reply:
    body = {"object": "list", "data": rows, "model": "m", "usage": usage or {"total_tokens": 9}}
    return Reply(json.dumps(body).encode())


async def test_vectors_belong_to_their_texts_however_they_come(connect: Connect, odd: OddNovita) -> None:
    odd.plan("POST", EMBED, *(answer(rows) for rows in GOOD.values()))
    async with connect(base_url=odd.url) as client:
        for case in GOOD:
            told = structured(await client.call_tool("create_embeddings", {"texts": ["a", "b"], "inline": True}))
            assert (told["status"], told["vectors"]) == ("succeeded", [A, B]), case


WHOLE: dict[str, Any] = {
    "rows of values": {"data": [row(0, {"values": A}), row(1, {"values": B})]},
    "rows by kind": {"data": [row(0, {"float": A}), row(1, {"float": B})]},
    "bare rows": {"data": [A, B]},
    "bare rows as base64": {"data": [packed(*A), packed(*B)]},
    "an object by number": {"data": {"1": bare(B), "0": bare(A)}},
    "under another name": {"embeddings": [A, B]},
    "under another name, by kind": {"embeddings": {"float": [A, B]}},
    "a list alone": [A, B],
    "a list of objects": [bare(A), bare(B)],
    "predictions": {"predictions": [{"embeddings": {"values": A}}, {"embeddings": {"values": B}}]},
    "one level deeper": {"output": {"embeddings": [{"text_index": 0, "embedding": A}, {"embedding": B}]}},
}
ALONE: dict[str, Any] = {
    "an object for the list": {"data": bare(A)},
    "an object of values": {"data": {"embedding": {"values": A}}},
    "no list at all": {"embedding": A},
    "base64 alone": {"embedding": packed(*A)},
    "numbers alone": A,
}


async def test_vectors_are_found_wherever_an_answer_has_them(connect: Connect, odd: OddNovita) -> None:
    """They are paid for, whatever server of models made them."""
    for body in (*WHOLE.values(), *ALONE.values()):
        odd.plan("POST", EMBED, Reply(json.dumps(body).encode()))
    async with connect(base_url=odd.url) as client:
        for case in WHOLE:
            told = structured(await client.call_tool("create_embeddings", {"texts": ["a", "b"], "inline": True}))
            assert (told["status"], told["vectors"]) == ("succeeded", [A, B]), case
        for case in ALONE:
            told = structured(await client.call_tool("create_embeddings", {"texts": ["a"], "inline": True}))
            assert (told["status"], told["vectors"]) == ("succeeded", [A]), case


@pytest.mark.parametrize(
    ("tool", "path", "asked"),
    [
        ("create_embeddings", EMBED, {"texts": ["a"]}),
        ("rerank", RERANK, {"query": "x", "documents": ["a", "b"]}),
        ("chat", "/openai/v1/chat/completions", {"prompt": "hi"}),
    ],
)
async def test_an_answer_that_nobody_can_read_is_kept_as_it_is(
    tool: str, path: str, asked: Json, connect: Connect, odd: OddNovita, tmp_path: Path
) -> None:
    """It was paid for, and whoever reads the file may understand it."""
    odd.plan("POST", path, Reply(b'{"tensor": {"shape": [1, 2], "words": "only it knows \\ud83d"}}'))
    async with connect(base_url=odd.url) as client:
        result = await client.call_tool(tool, asked)
        assert result.is_error
        told = text_of(result)
        (task_id,) = re.findall(r"call-[0-9a-f]+", told)
        assert "billed" in told
        looked = text_of(await client.call_tool("get_task", {"task_id": task_id}))
    (kept,) = [path for path in tmp_path.rglob("*") if path.suffix in (".json", ".txt")]
    assert "only it knows" in kept.read_text(encoding="utf-8")
    assert str(kept) in looked


async def test_a_vector_that_is_none_costs_its_text_alone(connect: Connect, odd: OddNovita) -> None:
    odd.plan("POST", EMBED, *(answer(rows) for rows, _, _ in GAPS.values()))
    async with connect(base_url=odd.url) as client:
        for case, (_, gap, reason) in GAPS.items():
            told = structured(await client.call_tool("create_embeddings", {"texts": ["a", "b"], "inline": True}))
            assert told["status"] == "incomplete", case
            assert told["vectors"][1 - gap] in (A, B), case
            assert told["vectors"][gap] == [], case
            (missing,) = told["missing"]
            assert (missing["first"], missing["last"]) == (gap, gap), case
            assert reason in missing["reason"], case
            assert "It was billed" in missing["reason"], case
            assert "1 of 2 texts" in told["next_step"], case


async def test_two_thousand_paid_vectors_survive_one_that_is_none(
    connect: Connect, odd: OddNovita, tmp_path: Path
) -> None:
    rows = [row(index, packed(index, NAN if index == 1_234 else 1)) for index in range(2_048)]
    rows[2_000] = row(2_000, packed(1, 2, 3))
    odd.plan("POST", EMBED, answer(rows))
    async with connect(base_url=odd.url) as client:
        asked = {"texts": [f"text {n}" for n in range(2_048)], "save_to": str(tmp_path / "v.json")}
        told = structured(await client.call_tool("create_embeddings", asked))
    assert told["shape"] == [2_048, 2]
    assert [(one["first"], one["last"]) for one in told["missing"]] == [(1_234, 1_234), (2_000, 2_000)]
    vectors = json.loads((tmp_path / "v.json").read_text())["vectors"]
    assert [index for index, vector in enumerate(vectors) if vector is None] == [1_234, 2_000]
    assert vectors[2_047] == [2_047, 1]


async def test_parts_of_another_length_do_not_fit_one_table(connect: Connect, odd: OddNovita) -> None:
    texts = [f"text {n}" for n in range(2_050)]
    odd.plan(
        "POST", EMBED, answer([row(n, packed(1, 2)) for n in range(2_048)]), answer([row(n, B * 2) for n in (0, 1)])
    )
    async with connect(base_url=odd.url) as client:
        told = structured(await client.call_tool("create_embeddings", {"texts": texts}))
    assert told["shape"] == [2_050, 2] or told["shape"] == [2_050, 4]
    assert told["missing"]


async def test_an_error_in_place_of_vectors_is_told(connect: Connect, odd: OddNovita) -> None:
    odd.plan("POST", EMBED, Reply(b'{"error": {"message": "overloaded today"}}'), answer([row(0, [NAN])]))
    async with connect(base_url=odd.url) as client:
        result = await client.call_tool("create_embeddings", {"texts": ["a"]})
        assert result.is_error
        assert "overloaded today" in text_of(result)
        result = await client.call_tool("create_embeddings", {"texts": ["a"]})
        assert result.is_error
        assert "no number" in text_of(result)
        assert "It was billed" in text_of(result)
        rows = structured(await client.call_tool("list_tasks", {}))["tasks"]
    assert [one["state"] for one in rows] == ["failed", "unconfirmed"]


async def test_tokens_told_as_text_are_counted(connect: Connect, odd: OddNovita) -> None:
    odd.plan("POST", EMBED, answer([row(0, A)], {"total_tokens": "9"}), answer([row(0, A)], {"prompt_tokens": 9.0}))
    async with connect(base_url=odd.url) as client:
        for _ in range(2):
            told = structured(await client.call_tool("create_embeddings", {"texts": ["a"]}))
            assert told["tokens"] == 9


def ranked(index: Any, score: Any, **fields: Any) -> Json:
    return {"index": index, "relevance_score": score, **fields}


RANKED: dict[str, tuple[Any, list[int], list[int] | None]] = {
    "a score of NaN": ([ranked(0, NAN), ranked(1, 0.9), ranked(2, 0.1)], [1, 2], [0]),
    "a score of null": ([ranked(0, 0.5), ranked(1, None), ranked(2, 0.1)], [0, 2], [1]),
    "a score as text": ([ranked(0, "0.1"), ranked(1, "0.9"), ranked(2, "0.5")], [1, 2, 0], None),
    "an infinite score": ([ranked(0, math.inf), ranked(1, 0.9), ranked(2, 0.5)], [1, 2], [0]),
    "an index as text": ([ranked("2", 0.1), ranked("1", 0.9), ranked("0", 0.5)], [1, 0, 2], None),
    "one too few": ([ranked(0, 0.1), ranked(1, 0.9)], [1, 0], [2]),
    "one twice": ([ranked(0, 0.1), ranked(1, 0.9), ranked(1, 0.2), ranked(2, 0.3)], [1, 2, 0], None),
    "by its text": (
        [
            {"document": {"text": text}, "relevance_score": score}
            for text, score in (("b", 0.9), ("c", 0.5), ("a", 0.1))
        ],
        [1, 2, 0],
        None,
    ),
    "null among them": ([None, ranked(0, 0.1), ranked(1, 0.9), ranked(2, 0.2)], [1, 2, 0], None),
    "under another name": ([{"index": n, "score": n} for n in range(3)], [2, 1, 0], None),
}
RANKED_WHOLE: dict[str, Any] = {
    "a list alone": [{"index": 1, "score": 0.9}, {"index": 0, "score": 0.1}],
    "one level deeper": {"output": {"results": [ranked(1, 0.9), ranked(0, 0.1)]}},
    "rankings": {"rankings": [{"index": 1, "similarity": 0.9}, {"index": 0, "similarity": 0.1}]},
    "scores alone": {"scores": [0.1, 0.9]},
}


async def test_a_ranking_is_found_wherever_an_answer_has_it(connect: Connect, odd: OddNovita) -> None:
    odd.plan("POST", RERANK, *(Reply(json.dumps(body).encode()) for body in RANKED_WHOLE.values()))
    async with connect(base_url=odd.url) as client:
        for case in RANKED_WHOLE:
            told = structured(await client.call_tool("rerank", {"query": "x", "documents": ["a", "b"]}))
            assert [(one["index"], one["score"]) for one in told["results"]] == [(1, 0.9), (0, 0.1)], case


async def test_documents_are_ranked_by_the_scores_that_are_numbers(connect: Connect, odd: OddNovita) -> None:
    replies = [
        Reply(json.dumps({"results": rows, "usage": {"total_tokens": "9"}}).encode()) for rows, _, _ in RANKED.values()
    ]
    odd.plan("POST", RERANK, *replies, Reply(b'{"detail": "overloaded today"}'))
    async with connect(base_url=odd.url) as client:
        asked = {"query": "x", "documents": ["a", "b", "c"]}
        for case, (_, order, unscored) in RANKED.items():
            told = structured(await client.call_tool("rerank", asked))
            assert [one["index"] for one in told["results"]] == order, case
            assert told.get("unscored") == unscored, case
            assert told["status"] == ("succeeded" if unscored is None else "incomplete"), case
        result = await client.call_tool("rerank", asked)
        assert result.is_error
        assert "overloaded today" in text_of(result)
