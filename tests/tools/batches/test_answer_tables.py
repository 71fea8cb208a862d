"""Answers beside their rows as CSV; thinking and a schema for every row; the warning before tokens run out."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from novita_mcp.novita.batches.answer_table import answer_table
from novita_mcp.simulator.batches.state import BatchState
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.text.state import LlmState

from ...building import quick
from ...conftest import Connect, fields_of, text_of

Json = dict[str, Any]

SCHEMA: Json = {
    "type": "object",
    "properties": {"label": {"type": "string"}, "stars": {"type": "integer"}},
    "required": ["label", "stars"],
}
REVIEWS = 'id,review\n1,"Good, very good"\n2,Bad\n'


async def test_a_labelled_table_comes_as_a_table(connect: Connect, world: World, tmp_path: Path) -> None:
    file = tmp_path / "reviews.csv"
    file.write_text(REVIEWS)
    async with connect() as client:
        asked = {"file": str(file), "system": "Label it.", "response_schema": SCHEMA, "thinking": False}
        made = await client.call_tool("create_batch", asked)
        assert not made.is_error, text_of(made)
        batch = fields_of(made)["batch_id"]
        done = fields_of(await client.call_tool("get_batch", {"batch_id": batch}))
    table = next(each for each in done["files"] if each["what"] == "table")
    assert table["path"].endswith(".csv")
    with Path(table["path"]).open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))

    assert list(rows[0]) == ["row", "custom_id", "status", "id", "review", "label", "stars", "error"]
    assert [row["review"] for row in rows] == ["Good, very good", "Bad"]
    assert all(row["label"] and row["stars"].lstrip("-").isdigit() for row in rows)
    (stored,) = [each for each in world.area(BatchState).files.values() if each.purpose == "batch"]
    assert b'"enable_thinking": false' in stored.content
    assert b'"json_schema"' in stored.content


def test_answers_that_are_no_objects_and_names_that_meet_keep_their_place() -> None:
    lines: list[Json] = [
        {"row": 1, "custom_id": "a", "status": "ok", "input": '{"label": "x"}', "text": '{"label": "y"}'},
        {"row": 2, "custom_id": "b", "status": "failed", "input": '{"label": "z"}', "error": 'cut, "so"'},
        {"row": 3, "custom_id": "c", "status": "ok", "input": '{"label": "w"}', "text": "no object"},
    ]
    results = "".join(json.dumps(line) + "\n" for line in lines)
    rows = list(csv.reader(answer_table(results, ["label", "why"]).splitlines()))

    assert rows[0] == ["row", "custom_id", "status", "label", "answer_label", "why", "error"]
    assert rows[1] == ["1", "a", "ok", "x", "y", "", ""]
    assert rows[2] == ["2", "b", "failed", "z", "", "", 'cut, "so"']
    assert rows[3] == ["3", "c", "ok", "w", "no object", "", ""]
    plain = '{"row": 1, "status": "ok", "input": "What?", "text": "That."}\n'
    assert list(csv.reader(answer_table(plain).splitlines())) == [
        ["row", "custom_id", "status", "input", "text", "error"],
        ["1", "", "ok", "What?", "That.", ""],
    ]


@pytest.mark.parametrize(
    ("wish", "warns"),
    [
        ({"options": {"max_tokens": 50}}, True),
        ({"options": {"max_tokens": 50}, "thinking": False}, False),
        ({"options": {"max_tokens": 4_096}}, False),
        ({"options": {"max_tokens": 50, "enable_thinking": False}}, False),
    ],
)
async def test_too_few_tokens_for_a_model_that_thinks_are_warned_of(
    connect: Connect, world: World, wish: Json, warns: bool
) -> None:
    world.area(LlmState).knobs.answer_tokens = 6
    rows = [{"prompt": "Label: good"}, {"prompt": "Label: bad"}]
    async with connect(build=quick) as client:
        shown = fields_of(await client.call_tool("create_batch", {"rows": rows, **wish, "dry_run": True}))
        made = fields_of(await client.call_tool("create_batch", {"rows": rows, **wish}))
    assert ("thinks before it answers" in shown.get("remark", "")) is warns
    assert ("50 max_tokens are little" in made.get("remark", "")) is warns


async def test_what_is_said_twice_is_refused(connect: Connect, world: World) -> None:
    rows = [{"prompt": "x"}]
    cases: list[tuple[Json, str]] = [
        ({"response_schema": SCHEMA, "options": {"response_format": {"type": "text"}}}, "either response_schema"),
        ({"thinking": True, "options": {"enable_thinking": False}}, "different things"),
        ({"response_schema": {"type": "nonsense"}}, "response_schema"),
    ]
    async with connect(build=quick) as client:
        for wish, words in cases:
            result = await client.call_tool("create_batch", {"rows": rows, **wish})
            assert result.is_error and words in text_of(result), text_of(result)
    assert not world.charges
