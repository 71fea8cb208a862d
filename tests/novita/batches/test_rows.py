"""The rows of a batch: written as they were meant, faults named by line."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from novita_mcp.novita.batches.rows import endpoint_of, numbered, prepare, read_table
from novita_mcp.novita.core.errors import InputError

MODEL = "deepseek/deepseek-v3.2"


@settings(deadline=None)
@given(st.lists(st.text(min_size=1, max_size=40).filter(lambda text: bool(text.strip())), min_size=1, max_size=30))
def test_prompts_of_any_letters_come_out_as_they_went_in(texts: list[str]) -> None:
    texts = [text for text in texts if text.encode("utf-8", "ignore").decode() == text]
    if not texts:
        return
    made = prepare(numbered([{"prompt": text} for text in texts]), name="rows", endpoint="chat", model=MODEL)
    written = [json.loads(line) for line in made.data.decode().split("\n")[:-1]]
    assert [line["body"]["messages"][-1]["content"] for line in written] == texts
    assert len({line["custom_id"] for line in written}) == len(texts) == made.rows
    checked = prepare(
        read_table(made.data, "rows.jsonl"), name="rows", endpoint="chat", model="", as_they_are=made.data
    )
    assert (checked.sha, checked.model, checked.most_tokens) == (made.sha, MODEL, made.most_tokens)


def test_options_fill_what_a_row_does_not_say() -> None:
    rows = [{"prompt": "a"}, {"prompt": "b", "temperature": 0.9, "max_tokens": 5}]
    made = prepare(
        numbered(rows), name="rows", endpoint="chat", model=MODEL, system="Be brief.", options={"temperature": 0}
    )
    first, second = (json.loads(line)["body"] for line in made.data.splitlines())
    assert (first["temperature"], first["max_tokens"]) == (0, 4096)
    assert (second["temperature"], second["max_tokens"]) == (0.9, 5)
    assert first["messages"][0]["content"] == "Be brief."
    assert made.most_tokens == 4101


def test_a_csv_with_a_broken_line_names_it() -> None:
    with pytest.raises(InputError, match="line 3: it has not as many cells"):
        read_table(b"prompt,note\nx,y\nz\n", "rows.csv")
    assert read_table(b"\xef\xbb\xbfprompt\nx\n", "rows.csv") == [(2, {"prompt": "x"})]
    with pytest.raises(InputError, match="Save it as UTF-8"):
        read_table(b"\xff\xfe\x00", "rows.jsonl")


def test_a_completion_is_told_by_its_row() -> None:
    assert endpoint_of(numbered([{"body": {"prompt": "x"}}])) == "completion"
    assert endpoint_of(numbered([{"prompt": "x"}])) == "chat"


REQUESTS = [{"custom_id": f"r{number}", "body": {"messages": [{"role": "user", "content": "hi"}]}} for number in (1, 2)]
ONE, TWO = (json.dumps(request) for request in REQUESTS)
FORMS: dict[str, tuple[str, str]] = {
    "with commas": ("rows.jsonl", f"{ONE},\n{TWO},\n"),
    "on one line": ("rows.jsonl", f"{ONE}{TWO}"),
    "indented": ("rows.jsonl", "\n".join(json.dumps(request, indent=2) for request in REQUESTS)),
    "a list with one comma too many": ("rows.json", f"[\n{ONE},\n{TWO},\n]"),
    "a list that was begun in every line": ("rows.json", f"\ufeff[{ONE}\n,{TWO}]\r\n"),
}


@pytest.mark.parametrize("form", FORMS)
def test_rows_are_read_however_they_follow_each_other(form: str) -> None:
    name, text = FORMS[form]
    assert [row for _, row in read_table(text.encode(), name)] == REQUESTS


def test_texts_alone_are_prompts() -> None:
    assert read_table(b'["a", "b"]', "rows.json") == [(1, {"prompt": "a"}), (2, {"prompt": "b"})]
    assert read_table(b'"a"\n"b"\n', "rows.jsonl") == [(1, {"prompt": "a"}), (2, {"prompt": "b"})]
    with pytest.raises(InputError, match="line 2: it is no JSON object"):
        read_table(b'["a", 5]', "rows.json")


@pytest.mark.parametrize(
    "text", ["id;prompt\n7;a, b\n8;b\n", "ID\tPrompt\n7\ta, b\n8\tb\n", "custom ID|PROMPT\n7|a, b\n8|b\n"]
)
def test_a_tables_own_ids_name_its_rows(text: str) -> None:
    made = prepare(read_table(text.encode("utf-16"), "rows.csv"), name="rows", endpoint="chat", model=MODEL)
    written = [json.loads(line) for line in made.data.splitlines()]
    assert [row["custom_id"] for row in written] == ["7", "8"]
    assert [row["body"]["messages"][-1]["content"] for row in written] == ["a, b", "b"]


def test_an_id_among_data_stays_data() -> None:
    rows = read_table(b"ID,Body\n7,Paris\n", "rows.csv")
    made = prepare(rows, name="rows", endpoint="chat", model=MODEL, system="Which country?")
    assert json.loads(json.loads(made.data)["body"]["messages"][-1]["content"]) == {"ID": "7", "Body": "Paris"}


@pytest.mark.parametrize("form", [*FORMS, "texts"])
def test_what_novita_would_not_read_is_not_called_good(form: str) -> None:
    """A file that is there already goes as it is."""
    data = FORMS[form][1].encode() if form != "texts" else b'"a"\n"b"\n'
    with pytest.raises(InputError, match="Novita takes JSON in UTF-8, one row on each line"):
        prepare(read_table(data, "f.jsonl"), name="f", endpoint="chat", model="", as_they_are=data)


def test_what_is_wrong_with_every_line_is_told_once() -> None:
    rows = [{"prompt": "a", "colour": "red"} for _ in range(2_000)]
    rows[9] = {"colour": "red"}
    with pytest.raises(InputError) as told:
        prepare(numbered(rows), name="rows.csv", endpoint="chat", model=MODEL)
    assert str(told.value).count("unknown field 'colour'") == 1
    assert "line 1 and 1,998 more lines: unknown field 'colour'" in str(told.value)
    assert "line 10: it has neither body, messages nor prompt" in str(told.value)
