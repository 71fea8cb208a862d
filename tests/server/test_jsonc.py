"""JSON with comments: what has to change does, and every other byte stays."""

import json
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from novita_mcp.server.jsonc import changed, read_jsonc

COMMENTED = """\
// mine
{
    /* of the editor */
    "theme": "dark", // "no, light"
    "mcpServers": {
        // another
        "other": { "command": "x", "args": ["// no comment", "a",], }, // keep
    },
    "empty": {},
}
"""


def test_a_member_is_added_and_taken_back_without_a_trace() -> None:
    before = cast(dict[str, Any], read_jsonc(COMMENTED))
    after = json.loads(json.dumps(before))
    after["mcpServers"]["novita"] = {"command": "novita-mcp", "args": [], "env": {"A": "b"}}
    after["empty"]["x"] = 1

    text = changed(COMMENTED, after)

    assert read_jsonc(text) == after
    assert [line for line in COMMENTED.splitlines() if "//" in line or "/*" in line] == [
        line for line in text.splitlines() if "//" in line or "/*" in line
    ]
    assert changed(text, before) == COMMENTED


@pytest.mark.parametrize("text", ["", "  \n", "// nothing yet\n", "{}", "{ }\n", "{\n  // soon\n}\n"])
def test_a_file_without_members_takes_one(text: str) -> None:
    after = changed(text, {"servers": {"novita": {}}})

    assert read_jsonc(after) == {"servers": {"novita": {}}}
    assert text.strip("{} \n") in after


def test_windows_line_ends_stay() -> None:
    text = changed('{\r\n\t"a": 1\r\n}\r\n', {"a": 1, "b": {"c": [2]}})

    assert text == '{\r\n\t"a": 1,\r\n\t"b": {\r\n\t\t"c": [\r\n\t\t\t2\r\n\t\t]\r\n\t}\r\n}\r\n'


@pytest.mark.parametrize("text", ["{", '{"a": }', "[1]", '{"a": 1} {"b": 2}', "/* never ends"])
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        changed(text, {"a": 2})


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
_objects = st.dictionaries(st.text(max_size=4), _values, max_size=4)


@given(_objects, _objects, st.sampled_from([None, 1, 2, "\t"]))
def test_any_object_becomes_any_other(old: dict[str, Any], new: dict[str, Any], indent: int | str | None) -> None:
    assert read_jsonc(changed(json.dumps(old, indent=indent), new)) == new
