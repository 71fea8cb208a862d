"""Files and rows of batches as people have them: their encodings, their commas, numbers that are none."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.serving import Running

from ...conftest import Connect, structured, text_of
from ...server.children import child

Json = dict[str, Any]
MODEL = "deepseek/deepseek-v3.2"
GREETING: Json = {"prompt": "Grüße aus Köln, “schön” – nicht?", "note": "a"}


@pytest.fixture
def era() -> str:
    """How a file is read does not depend on the protocol's era."""
    return "auto"


def nothing_sent(world: World) -> bool:
    return world.count("upload_file") == world.count("create_batch") == 0 and not world.charges


def first_prompts(told: Json) -> list[str]:
    return [row["body"]["messages"][-1]["content"] for row in told["upload"]["form"]["file"]["first_rows"]]


CSV = f'id,text\n1,"{GREETING["prompt"]}"\n2,second\n3,third\n'
TABLES: dict[str, bytes] = {
    "UTF-8": CSV.encode(),
    "UTF-8 with its mark": CSV.encode("utf-8-sig"),
    "Latin-1, as Excel saves it": CSV.encode("cp1252"),
    "UTF-16 with its mark": CSV.encode("utf-16"),
    "UTF-16 of the other end": b"\xfe\xff" + CSV.encode("utf-16-be"),
    "UTF-16 without its mark": CSV.encode("utf-16-le"),
    "semicolons": CSV.replace(",", ";").replace("Köln;", "Köln,").encode(),
    "semicolons, said by Excel": ("sep=;\n" + CSV.replace(",", ";").replace("Köln;", "Köln,")).encode(),
    "tabs": CSV.replace(",", "\t").replace("Köln\t", "Köln,").encode(),
    "line ends of Windows": CSV.replace("\n", "\r\n").encode(),
    "line ends of old Macs": CSV.replace("\n", "\r").encode(),
    "blank lines and empty rows": CSV.replace("2,second", "\n,\n2,second").encode() + b",\n",
    "blanks around the names": CSV.replace("id,text", " id , text").encode(),
}


@pytest.mark.parametrize("case", TABLES)
async def test_a_table_is_read_however_it_was_saved(case: str, connect: Connect, tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_bytes(TABLES[case])
    async with connect() as client:
        asked = {"file": str(file), "system": "sum up", "model": MODEL, "dry_run": True}
        told = structured(await client.call_tool("create_batch", asked))
    assert told["total"] == 3
    assert [json.loads(prompt) for prompt in first_prompts(told)] == [
        {"id": "1", "text": GREETING["prompt"]},
        {"id": "2", "text": "second"},
        {"id": "3", "text": "third"},
    ]


@pytest.mark.parametrize("letters", [131_073, 140_000, 1_000_000])
async def test_a_large_cell_is_taken(letters: int, connect: Connect, world: World, tmp_path: Path) -> None:
    file = tmp_path / "big.csv"
    file.write_text(f"id,text\n1,{'x' * letters}\n2,small\n")
    async with connect() as client:
        asked = {"file": str(file), "system": "sum up", "model": MODEL}
        told = structured(await client.call_tool("create_batch", {**asked, "dry_run": True}))
        assert told["total"] == 2
        structured(await client.call_tool("create_batch", asked))


async def test_cells_become_the_types_that_their_fields_have(connect: Connect, tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_text('custom_id,prompt,max_tokens,temperature,enable_thinking\na,17,50,0.5,FALSE\nb,"null",,,\n')
    async with connect() as client:
        told = structured(await client.call_tool("create_batch", {"file": str(file), "model": MODEL, "dry_run": True}))
    first, second = (row["body"] for row in told["upload"]["form"]["file"]["first_rows"])
    assert (first["max_tokens"], first["temperature"], first["enable_thinking"]) == (50, 0.5, False)
    assert first["messages"] == [{"role": "user", "content": "17"}]
    assert second["messages"] == [{"role": "user", "content": "null"}]
    assert "temperature" not in second


ROW = '{{"custom_id":"r{0}","body":{{"model":"' + MODEL + '","messages":[{{"role":"user","content":"hi"}}]{1}}}}}'
GOOD = ROW.format(1, "")
LINES: dict[str, bytes] = {
    "a mark at the head": b"\xef\xbb\xbf" + f"{GOOD}\n{ROW.format(2, '')}\n".encode(),
    "marks within": f"{GOOD}\n\ufeff{ROW.format(2, '')}\n".encode(),
    "UTF-16": f"{GOOD}\n{ROW.format(2, '')}\n".encode("utf-16"),
    "Latin-1": f"{GOOD}\n{ROW.format(2, '')}\n".replace('"hi"', '"Grüße"').encode("latin-1"),
    "line ends of Windows": f"{GOOD}\r\n\r\n{ROW.format(2, '')}\r\n".encode(),
    "one list": f"[\n{GOOD},\n{ROW.format(2, '')}\n]".encode(),
}


@pytest.mark.parametrize("case", LINES)
async def test_every_line_is_a_row_however_it_was_saved(
    case: str, connect: Connect, world: World, tmp_path: Path
) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(LINES[case])
    async with connect() as client:
        stored = structured(await client.call_tool("upload_file", {"file": str(file)}))
        assert stored["requests"] == 2
        made = structured(await client.call_tool("create_batch", {"file_id": stored["file_id"]}))
        done = structured(await client.call_tool("get_batch", {"batch_id": made["batch_id"]}))
    assert done["total"] == 2


TEXT = "id,text\n"
BAD_TABLES: dict[str, tuple[bytes, str]] = {
    "an unclosed quote": (b'id,text\n1,a\n2,"b\n3,c\n4,d\n', "line 3: a quote that begins here is not closed"),
    "an unclosed quote that meets another": (b'id,text\n1,a\n2,"b\n3,"c"\n4,d\n', "line 3: a quote that begins here"),
    "words after a quote": (b'id,text\n1,"a" b\n', "line 2: a quote"),
    "a column twice": (b"id,text,text\n1,a,b\n", "line 1: the column 'text' is there twice"),
    "a cell too few after a long one": (b'id,text\n1,"a\nb"\n2\n', "line 4: it has not as many cells"),
    "an unknown encoding": ("id,text\n1,Привет, как дела\n".encode("cp1251"), "Save it as UTF-8"),
    "a spreadsheet": (b"PK\x03\x04" + bytes(100), "has to be saved as CSV"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(100), "text is wanted"),
    "a heading alone": (b"id,text\n", "has no rows"),
}


@pytest.mark.parametrize("case", BAD_TABLES)
async def test_a_table_that_cannot_be_read_is_refused_with_its_line(
    case: str, connect: Connect, world: World, tmp_path: Path
) -> None:
    data, says = BAD_TABLES[case]
    file = tmp_path / "table.csv"
    file.write_bytes(data)
    async with connect() as client:
        result = await client.call_tool("create_batch", {"file": str(file), "system": "sum up"})
    assert result.is_error
    assert says in text_of(result)
    assert "may have been billed" not in text_of(result)
    assert nothing_sent(world)


BARE: dict[str, tuple[str, str]] = {
    "NaN": (ROW.format(1, ',"max_tokens":50,"temperature":NaN'), "line 2: body.temperature is NaN"),
    "infinity": (ROW.format(1, ',"top_p":-Infinity'), "line 2: body.top_p is NaN or Infinity"),
    "a number too large": (ROW.format(1, ',"seed":1e999'), "line 2: body.seed is NaN or Infinity"),
    "deep inside": (ROW.format(1, ',"metadata":{"a":[1,{"b":NaN}]}'), "line 2: body.metadata.a[1].b is NaN"),
    "an id": ('{"custom_id": NaN, "prompt": "hi"}', "line 2: custom_id is NaN"),
    "a row's own field": ('{"prompt": "hi", "temperature": NaN}', "line 2: temperature is NaN"),
}


@pytest.mark.parametrize("case", BARE)
async def test_a_number_that_is_none_is_refused_with_row_and_field(
    case: str, connect: Connect, world: World, tmp_path: Path
) -> None:
    row, says = BARE[case]
    file = tmp_path / "rows.jsonl"
    file.write_text(f"{ROW.format(0, '')}\n{row}\n")
    async with connect() as client:
        for tool, more in (("create_batch", {}), ("create_batch", {"dry_run": True}), ("upload_file", {})):
            result = await client.call_tool(tool, {"file": str(file), **more})
            assert result.is_error
            assert says in text_of(result)
    assert nothing_sent(world)


def test_a_number_that_is_none_is_refused_wherever_a_host_writes_it(
    simulator: Running, world: World, tmp_path: Path
) -> None:
    """A host in Python writes NaN as it is, which JSON does not know."""
    asked: list[tuple[str, Json]] = [
        ("create_batch", {"rows": [{"prompt": "hi", "temperature": math.nan}]}),
        ("create_batch", {"rows": [{"prompt": "hi"}], "options": {"temperature": math.inf}}),
        ("create_batch", {"rows": [{"a": math.nan}], "system": "sum up"}),
        ("chat", {"prompt": "hi", "options": {"top_p": math.nan}}),
        ("chat", {"prompt": "hi", "response_schema": {"type": "object", "maximum": math.inf}}),
        ("complete_text", {"prompt": "hi", "options": {"top_p": math.nan}}),
    ]
    with child(tmp_path, simulator.url, NOVITA_MCP_TOOLSETS="all") as server:
        server.initialize()
        for tool, arguments in asked:
            answer = server.answer(server.call(tool, arguments))
            told = json.dumps(answer)
            assert "error" in answer or answer["result"].get("isError"), (tool, arguments, told)
            assert "may have been billed" not in told, (tool, arguments, told)
            assert "NaN" in told, told
    assert nothing_sent(world)


# Rows are held to what chat is held to


def media(kind: str, url: str) -> list[Json]:
    return [{"role": "user", "content": [{"type": "text", "text": "?"}, {"type": kind, kind: {"url": url}}]}]


VISION = "qwen/qwen3-vl-30b-a3b-instruct"
HELD: dict[str, tuple[Json, str, str]] = {
    "no tokens": ({"prompt": "x", "max_tokens": 0}, MODEL, "line 2: max_tokens must be a whole number of at least 1"),
    "no tokens by the newer name": (
        {"prompt": "x", "max_completion_tokens": 0},
        MODEL,
        "line 2: max_completion_tokens",
    ),
    "tokens as words": ({"prompt": "x", "max_tokens": "many"}, MODEL, "line 2: max_tokens"),
    "more than the model makes": ({"prompt": "x", "max_tokens": 900_000}, MODEL, "line 2: max_tokens is 900000"),
    "more than it can hold": ({"prompt": "word " * 500_000}, MODEL, "line 2: its prompt has 2,500,000 characters"),
    "a path": ({"messages": media("image_url", "/home/ada/a.png")}, VISION, "line 2: messages[0].content[1]"),
    "an address of a file": ({"messages": media("image_url", "file:///home/a.png")}, VISION, "line 2: messages[0].c"),
    "a Windows path": ({"messages": media("image_url", "C:\\a.png")}, VISION, "line 2: messages[0].content[1]"),
    "an earlier result": ({"messages": media("image_url", "task:abc/0")}, VISION, "line 2: messages[0].content[1]"),
    "a path in our spelling": (
        {"messages": [{"role": "user", "content": [{"type": "image", "url": "a.png"}]}]},
        VISION,
        "line 2: messages[0].content[0]",
    ),
    "a path in a whole request": (
        {"body": {"model": VISION, "messages": media("image_url", "a.png"), "max_tokens": 9}},
        VISION,
        "line 2: messages[0].content[1]",
    ),
    "tools of a model without": (
        {"prompt": "x", "tools": [{"name": "f"}]},
        "mistralai/mistral-nemo",
        "line 2: mistralai/mistral-nemo does not support tools",
    ),
    "a call without a name": (
        {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [{"id": "c"}]}]},
        MODEL,
        "line 2: messages[1].tool_calls[0] names no function",
    ),
}


@pytest.mark.parametrize("case", HELD)
async def test_rows_are_refused_where_chat_would_be(case: str, connect: Connect, world: World) -> None:
    row, model, says = HELD[case]
    async with connect() as client:
        asked = {"rows": [{"prompt": "fine", "max_tokens": 9}, row], "model": model}
        result = await client.call_tool("create_batch", asked)
        assert result.is_error
        assert says in text_of(result)
        assert "/home/ada" not in text_of(result)
    assert nothing_sent(world)


async def test_rows_go_out_as_openai_takes_them(connect: Connect) -> None:
    call = {"id": "c1", "name": "f", "arguments": {"x": 1}}
    turns: list[Json] = [
        {"role": "user", "content": [{"type": "image", "url": "https://example.com/a.png"}]},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": {"y": 2}},
    ]
    row = {"messages": turns, "tools": [{"name": "f", "inputSchema": {"type": "object"}}], "max_tokens": 9}
    async with connect() as client:
        asked = {"rows": [row], "model": VISION, "dry_run": True}
        told = structured(await client.call_tool("create_batch", asked))
    (sent,) = told["upload"]["form"]["file"]["first_rows"]
    user, assistant, tool = sent["body"]["messages"]
    assert user["content"] == [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]
    assert assistant["content"] is None
    assert assistant["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"x": 1}'}
    assert tool["content"] == '{"y": 2}'
    assert sent["body"]["tools"] == [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
