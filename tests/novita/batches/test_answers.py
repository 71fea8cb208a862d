"""Lines of batch files of any shape: every row gets a line of the results, and only answers count as answers."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from novita_mcp.novita.batches.answers import match, read_rows
from novita_mcp.novita.batches.batch_files import read_file
from novita_mcp.novita.batches.batches import read_batch
from novita_mcp.novita.core.errors import NovitaConnectionError

Json = dict[str, Any]
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 10**20), st.floats(), st.text(max_size=6), st.just("\ud83d")
)
KEYS = st.sampled_from(["message", "content", "text", "error", "code", "type", "choices", "0"]) | st.text(max_size=3)
ANYTHING = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3))


def fields(**named: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries({}, optional={name: inner | ANYTHING for name, inner in named.items()})


IDS = st.sampled_from(["r1", "r2", "", 1, None])
MESSAGES = fields(content=st.text(max_size=3), tool_calls=ANYTHING, refusal=ANYTHING, reasoning=ANYTHING)
COMPLETIONS = fields(
    choices=st.lists(fields(message=MESSAGES, finish_reason=st.sampled_from(["stop", "length"])), max_size=2),
    usage=fields(prompt_tokens=st.integers(), completion_tokens=st.integers()),
    model=st.text(max_size=3),
)
RESPONSES = fields(status_code=st.integers(0, 600), body=COMPLETIONS)
LINES = fields(custom_id=IDS, response=RESPONSES, error=ANYTHING)
ROWS = fields(custom_id=IDS, body=fields(model=st.text(max_size=3), messages=ANYTHING, prompt=ANYTHING))


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(ROWS, max_size=4), st.lists(LINES, max_size=4))
@example([], [{"response": {"body": {"choices": [{}, {"message": {"content": "0"}}]}}}])
def test_every_row_has_a_line_and_none_is_lost(asked: list[Json], answers: list[Json]) -> None:
    # As they are read from a file.
    asked, answers = json.loads(json.dumps(asked)), json.loads(json.dumps(answers))
    made = match(asked, answers)
    lines = [json.loads(line) for line in made.results.split("\n")[:-1]]
    assert [line["row"] for line in lines] == list(range(1, len(lines) + 1))
    assert sum(made.counts.values()) == made.answered + made.unanswered == (len(asked) or len(answers))
    assert len(lines) >= sum(made.counts.values())
    if asked:
        answered = [line for line in lines[: len(asked)] if line["status"] != "missing"]
        told = len(answered) + len(lines) - len(asked)
        assert told <= len(answers)
        names = [
            ["" if one.get("custom_id") is None else str(one["custom_id"]) for one in each] for each in (asked, answers)
        ]
        strangers = [name for name in names[1] if name not in names[0]]
        assert len([line for line in lines if "no row" in str(line.get("note"))]) >= len(strangers)
    assert all(line.get("text", "").strip() or line.get("tool_calls") for line in lines if line["status"] == "ok")
    assert all(line["error"] for line in lines if line["status"] != "ok")


@settings(deadline=None)
@given(ANYTHING)
def test_batches_and_files_of_any_shape_are_read_or_refused(raw: Any) -> None:
    odd = dict.fromkeys(("status", "request_counts", "total", "errors", "created_at", "output_file_id", "bytes"), raw)
    for value in (raw, {"id": raw}, {"id": "x", **odd}, {"id": "x", "request_counts": odd, "metadata": odd}):
        for read in (read_batch, read_file):
            try:
                assert read(value).id
            except NovitaConnectionError as error:
                assert "no id" in error.what


@settings(deadline=None)
@given(st.binary(max_size=60), st.integers(0, 3))
def test_any_bytes_are_rows_or_an_error_that_leaves_all_open(data: bytes, least: int) -> None:
    try:
        rows = read_rows(data, "The output file", least)
    except NovitaConnectionError as error:
        assert "call get_batch again" in error.next_step
        return
    assert rows or not least


def test_a_file_that_ends_in_the_middle_is_no_file_and_one_with_a_bad_line_is() -> None:
    good = '{"custom_id": "a", "response": {}}'
    assert len(read_rows(f"{good}\nno JSON\n".encode(), "x", 2)) == 1
    assert len(read_rows(f"{good}\nno JSON".encode(), "x", 2)) == 1
    for cut in (f'{good}\n{{"custom_id"', f"{good}\n", "", "[]", "<html>", '{"error": "x"}'):
        with pytest.raises(NovitaConnectionError):
            read_rows(cut.encode(), "x", 2)
    assert read_rows(b"", "x") == []
